package config

import (
	"reflect"
	"slices"
)

// Adopt returns the configuration that a process running on current changes to when it reloads next: what only a restart can
// change stays as it is, and each such difference is a warning that names the key and its line in next's file.
func (next *Checked) Adopt(current *Checked) (*Checked, Problems) {
	merged := *next
	var held Problems
	for _, k := range keys {
		if k.live || k.same(current, &merged) {
			continue
		}
		held = append(held, Problem{
			File: next.File, Line: next.lines[k.name], Key: spelled(next.origins, k.name), Warning: true,
			Text: "changing this takes a restart; the running value is kept",
		})
		reflect.ValueOf(k.get(&merged)).Elem().Set(reflect.ValueOf(k.get(current)).Elem())
	}
	return &merged, slices.Compact(held.sorted()) // two keys of ours may be one of the original's
}

// Same returns whether two upstreams are configured alike but for what is applied to an endpoint in use, so that the connections of one can
// serve the other.
func (u *Upstream) Same(other *Upstream) bool {
	for _, k := range upstreamKeys {
		if k.name != "ca_file" && !k.alone && !k.same(u, other) {
			return false
		}
	}
	if u.Roots == nil || other.Roots == nil { // a pool holds functions, which reflect cannot compare
		return u.Roots == other.Roots
	}
	return u.Roots.Equal(other.Roots)
}
