// Command dnsload asks a DNS server as much as it can take, or as much per second as it is told to, verifies every answer,
// and reports rate, loss and latency. `dnsload -h` explains the flags.
//
//	query    what is asked         pending  what waits for an answer, and the verdict on it
//	pace     when                  tally    counts, histogram, report
//	udp      sender for UDP        stream   sender for TCP and DoT
//
// This folder reads the flags, starts one sender per CPU (UDP) or one for all connections, and prints.
package main
