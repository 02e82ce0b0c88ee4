package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const examplePath = "../../proxy.toml.example"

// indexed finds the [0] in upstream[0].url.
var indexed = regexp.MustCompile(`\[\d+\]`)

// pooled finds the default in pool.default.policy.
var pooled = regexp.MustCompile(`^(pool|set|view)\.[a-z]+`)

// parts are what is within the value of one selector.
var parts = regexp.MustCompile(`^(rule\[\]\.match\.(over_rate|over_source_rate|pool_outstanding|time|all\[\]|any\[\]|not)|view\.NAME\.limits)\.`)

// TestExampleIsValid: the file can be used as it is.
func TestExampleIsValid(t *testing.T) {
	if _, problems := Load(examplePath); len(problems) != 0 {
		t.Error(problems)
	}
}

// TestExampleIsComplete: the example documents every known key, no other, and with the facts of the key table.
func TestExampleIsComplete(t *testing.T) {
	raw, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(string(raw), "\n")
	for i, row := range rows {
		if len(row) > 1 && row[0] == '#' && row[1] != ' ' {
			rows[i] = row[1:] // a setting that is switched off
		}
	}
	index := lineIndex(strings.Join(rows, "\n")) // not toml: the example shows upstream in both of its forms
	known := Names()
	for path := range index {
		name := pooled.ReplaceAllString(indexed.ReplaceAllString(path, "[]"), "$1.NAME")
		switch {
		case name == "pool.NAME", name == "set.NAME", name == "view.NAME":
		case slices.Contains(known, name), isTable(name), strings.HasPrefix(name, "hosts."):
		case parts.MatchString(name): // tables of a selector, matches within matches
		case strings.HasPrefix(name, "upstream[].health.") && slices.Contains(known, strings.TrimPrefix(name, "upstream[].")):
		case strings.HasSuffix(name, "[]"): // an element of a list
		default:
			t.Errorf("line %d: %s is not a known key", index[path], name)
		}
	}
	check := func(name, bounds, standard string, live bool) {
		line, found := exampleLine(index, name)
		if !found {
			t.Errorf("%s is not in the example", name)
			return
		}
		want := "# Range " + bounds + ". Default " + standard + "."
		if standard == "" {
			want = "# Range " + bounds + ". No default."
		}
		if live {
			want += " Reload."
		} else {
			want += " Restart."
		}
		if got := rows[line-2]; got != want { // the line above: index counts from 1
			t.Errorf("line %d, above %s:\ngot  %s\nwant %s", line-1, name, got, want)
		}
	}
	for _, k := range keys {
		check(k.name, k.bounds, k.standard, k.live)
	}
	for _, k := range viewKeys {
		check("view.NAME."+k.name, k.bounds, k.standard, k.live)
	}
	for _, k := range setKeys {
		check("set.NAME."+k.name, k.bounds, k.standard, k.live)
	}
	for _, k := range ruleKeys {
		check("rule[]."+k.name, k.bounds, k.standard, k.live)
	}
	for _, s := range slices.Concat(selectors, joiners) {
		check("rule[].match."+s.name, s.bounds, "", true)
	}
	for _, k := range actionKeys {
		check("rule[].action."+k.name, k.bounds, k.standard, k.live)
	}
	for _, k := range listenerKeys {
		check("acl.listener[]."+k.name, k.bounds, k.standard, k.live)
	}
	for _, k := range policyZoneKeys {
		check("rpz.zone[]."+k.name, k.bounds, k.standard, k.live)
	}
	for _, k := range blockRuleKeys {
		check("blocks.rule[]."+k.name, k.bounds, k.standard, k.live)
	}
	for _, k := range poolKeys {
		check("pool.NAME."+k.name, k.bounds, k.standard, k.live)
	}
	for _, k := range upstreamKeys {
		check("upstream[]."+k.name, k.bounds, k.standard, k.live)
	}
}

func exampleLine(index lines, name string) (int, bool) {
	for path, line := range index {
		if pooled.ReplaceAllString(indexed.ReplaceAllString(path, "[]"), "$1.NAME") == name && !strings.HasSuffix(path, "]") {
			return line, true
		}
	}
	return 0, false
}
