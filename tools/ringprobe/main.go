// Command ringprobe prints whether io_uring can be used on this machine, in this container, as this user, and if not, why not
// and what to do. It exits with 0 if it can, 1 if not.
package main

import (
	"fmt"
	"os"

	"secure-dns-proxy/ring/probe"
)

func main() {
	report := probe.Probe()
	fmt.Println(report)
	if !report.Usable {
		os.Exit(1)
	}
}
