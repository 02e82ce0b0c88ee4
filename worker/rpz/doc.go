// Package rpz holds response policy zones (draft-vixie-dnsop-dns-rpz-00) in the form that workers look things up in.
//
//	trigger      owner below the zone's origin          asked with
//	client-IP    32.1.2.0.192.rpz-client-ip             the client's address
//	QNAME        www.example.com, *.example.com         the name asked for, then each name of the answer's CNAME chain
//	IP           24.0.2.0.192.rpz-ip, 48.zz.2.2001...   the A and AAAA records of the answer
//	NSDNAME      ns.example.com.rpz-nsdname             the NS records in answer and authority section
//	NSIP         32.53.2.0.192.rpz-nsip                 the addresses of those in the additional section
//
//	record       action
//	CNAME .                NXDOMAIN
//	CNAME *.               NODATA
//	CNAME rpz-passthru.    PASSTHRU; so does a CNAME to the trigger itself, an older form
//	CNAME rpz-drop.        DROP
//	CNAME rpz-tcp-only.    TCP-Only
//	anything else          local data; CNAME *.garden.example. stands for the name asked for, put before garden.example.
//
// A Zone is one compiled zone, a Set all zones in order with what the operator says of each. Both are immutable: workers share them, and a
// new one takes the place of the old by one pointer. A Builder makes a Zone, from nothing or from an older Zone that is left as it is
// (an incremental transfer). Zones are reversible: All gives back the records that they were made of.
//
// Which trigger counts: the earliest name of the CNAME chain; then the zone that comes first; then client-IP, QNAME, IP, NSDNAME, NSIP in
// this order; then an exact name before a wildcard, the longer wildcard, the longer prefix (IPv4 counts as ::ffff:0:0/96), the smaller
// address; of name servers with triggers as long the smaller name in the order of DNSSEC (RFC 4034 §6.1).
//
// What is not an answer of an upstream's (local answers, failures) is judged as one without records: triggers of client and name count, in whichever
// zone; addresses that the proxy gives itself are left alone, as unbound leaves those of its local zones.
//
// Memory: a QNAME trigger takes some 36 bytes (its name, three bytes, a slot of 12), local data 12 bytes a record more than its RDATA.
// Names and data are in slices without pointers, which the garbage collector does not look into.
//
// Names are in wire form, lower case where they are looked up. Looking something up allocates nothing.
package rpz
