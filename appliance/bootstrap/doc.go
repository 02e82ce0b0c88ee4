// Package bootstrap keeps the addresses of upstream names up to date.
//
//	who is asked   the upstreams themselves, once they serve and as far as they are up: encrypted, and nobody on the path learns or forges
//	               anything. Else, and if they do not know, the bootstrap servers that the operator names
//	lookup ok      hand the addresses on; ask again RefreshThreshold before they expire, or a jitter earlier, but not before MinTTL
//	lookup failed  keep the addresses known before, expired or not; ask again after 1 s, 2 s, 4 s ... up to FailureRetry
//
// There is no loop in this: whoever is asked is asked at addresses that are known already, and without any the bootstrap servers are left,
// which have none but addresses.
//
// A failure is logged when it begins and when it ends, not each time, and so is the use of a bootstrap server where the upstreams should
// have known. One goroutine per name; nothing here is on the path of a query. What a plain bootstrap server says can be forged on the way:
// that is harmless for encrypted upstreams, whose certificate is verified, and no worse than the upstream itself for plain ones.
package bootstrap
