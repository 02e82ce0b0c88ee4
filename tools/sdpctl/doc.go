// Command sdpctl talks to a running secure-dns-proxy over its control socket ([control] socket in the configuration).
//
// It prints tables for people, and with --json what the proxy answered, for programs. It exits 0 when the command was carried out, 1 when it
// was refused or nobody answers, 2 when the command line is wrong.
package main
