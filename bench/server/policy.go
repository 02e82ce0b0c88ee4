package server

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// policyRules, policySuffixes and policyTriggers are how large a Policy is.
	policyRules, policySuffixes, policyTriggers = 100, 1_000_000, 20_000
	// policyMark is where it begins in the configuration.
	policyMark = "\n# policy\n"
	setFile    = "set"
	zoneFile   = "zone"
)

// Policy gives this project's own program, at its next reload, rules, a set of suffixes in a file, and a response policy zone. No two rounds have the
// same rules, and the files look as if they had been written anew: nothing of the round before can be kept.
func Policy(s Setup, round int) error {
	path := filepath.Join(s.Dir, proxyFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	before, _, written := strings.Cut(string(text), policyMark)
	set, zone := filepath.Join(s.Dir, setFile), filepath.Join(s.Dir, zoneFile)
	if written {
		err = errors.Join(os.Chtimes(set, time.Time{}, time.Now()), os.Chtimes(zone, time.Time{}, time.Now()))
	} else {
		head := "$ORIGIN rpz.test.\n@ 300 SOA ns h 1 3600 600 86400 60\n@ 300 NS ns\n"
		err = errors.Join(writeLines(set, "", policySuffixes, "s%d.many.invalid\n"), writeLines(zone, head, policyTriggers, "n%d.invalid 300 CNAME .\n"))
	}
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s[set.many]\nfile = %q\n\n[[rpz.zone]]\nname = \"rpz.test\"\nfile = %q\n", before, policyMark, set, zone)
	b.WriteString("\n[[rule]]\nname = \"set\"\nmatch.set = [\"many\"]\naction = { type = \"refuse\" }\n")
	for i := range policyRules - 1 {
		fmt.Fprintf(&b, "\n[[rule]]\nname = \"r%d\"\nmatch.suffix = [\"s%d-%d.invalid\"]\naction = { type = \"refuse\" }\n", i, i, round)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	return nil
}

// writeLines writes a head, then a line for each number.
func writeLines(path, head string, count int, line string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(file)
	b.WriteString(head) // errors stay until Flush
	for i := range count {
		fmt.Fprintf(b, line, i)
	}
	return errors.Join(b.Flush(), file.Close())
}
