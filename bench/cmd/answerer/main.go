// Command answerer runs the backend of the benchmarks as a process of its own, so that its CPU time can be told apart.
//
//	answerer -certificate FILE -key FILE
//
// It prints its addresses as one line of JSON, then its counts as one line for every line it reads, and ends with its
// standard input: it never outlives the harness.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"secure-dns-proxy/bench/answerer"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "answerer:", err)
		os.Exit(1)
	}
}

func run() error {
	certificateFile := flag.String("certificate", "", "PEM `file`")
	keyFile := flag.String("key", "", "PEM `file`")
	flag.Parse()
	certificate, err := tls.LoadX509KeyPair(*certificateFile, *keyFile)
	if err != nil {
		return fmt.Errorf("-certificate, -key: %w", err)
	}
	s, err := answerer.Listen(certificate)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(s.Addresses); err != nil {
		return fmt.Errorf("print addresses: %w", err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := out.Encode(s.Counts()); err != nil {
			return fmt.Errorf("print counts: %w", err)
		}
	}
	return nil
}
