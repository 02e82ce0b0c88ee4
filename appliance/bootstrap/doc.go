// Package bootstrap keeps the addresses of upstream names up to date by asking plain DNS servers that the operator names.
//
//	lookup ok      hand the addresses on; ask again RefreshThreshold before they expire, but not before MinTTL
//	lookup failed  keep the addresses known before; ask again after 1 s, 2 s, 4 s ... up to FailureRetry
//
// A failure is logged when it begins and when it ends, not each time. One goroutine per name; nothing here is on the path of
// a query. Answers are plain DNS and can be forged on the way: that is harmless for encrypted upstreams, whose certificate is
// verified, and no worse than the upstream itself for plain ones.
package bootstrap
