// Package load runs tools/dnsload and reads its report. It makes no load itself.
package load
