// Package rpz brings response policy zones to the workers: from zone files, and from primaries by AXFR and IXFR (RFC 5936, RFC 1995) with NOTIFY
// (RFC 1996) and TSIG (RFC 8945).
//
//	part       what it does
//	Keeper     knows the zones of the configuration, puts them together to a worker/rpz.Set and hands that to the workers
//	source     one zone: where it comes from, what is in force, its timers and figures
//	readZone   a zone file; a record that is no policy is refused with file and line, and so is the file
//	transfer   one conversation with a primary
//	notifier   the listener for NOTIFY
//	hitLog     lines for hits, as many a second as the configuration says
//
// Zones are compiled by ordinary goroutines, beside the ones that are in force; the workers see a new set by one pointer.
//
// A file whose size, time or identity changes is read again once it has been left alone for a second. A file that is wrong changes nothing. A zone from
// a primary follows the SOA's timers within the configured bounds: refresh, retry after a failure, and after expire without a success the zone is
// taken out of force, since nobody knows any more whether it is right. Its last good copy is a zone file in the configured directory, whose time is that of
// the last success; it is in force from the start, until the primary says something newer. What a primary sends that is no policy is left out and
// counted: a slip of a feed's publisher must not stop its updates.
//
// With a key, every conversation with a primary is signed, and an answer without a good signature is not believed; so are NOTIFYs.
package rpz
