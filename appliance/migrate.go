package appliance

import (
	"fmt"
	"io"

	"secure-dns-proxy/appliance/config"
)

// Migrate writes a configuration file of the original secure-dns-proxy in the new form on out, and what is different then as lines on
// problems. After an error, which is such a line too, there is nothing on out.
func Migrate(file string, out, problems io.Writer) int {
	f, found := config.Read(file)
	var text []byte
	if f != nil {
		text, found = config.Migrate(f)
	}
	for _, p := range found {
		fmt.Fprintln(problems, p)
	}
	if text == nil {
		return ExitUsage
	}
	if _, err := out.Write(text); err != nil {
		fmt.Fprintln(problems, err)
		return ExitFailure
	}
	return ExitDone
}
