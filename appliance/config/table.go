package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// key is one row of a key table; T is what its value is stored in.
type key[T any] struct {
	name     string
	bounds   string // range or choices, as messages and proxy.toml.example write them
	standard string // default as TOML text; empty = the zero value of T's field
	live     bool   // a reload applies it; otherwise it takes a restart
	alone    bool   // of an upstream: changing it leaves its endpoint and connections as they are
	read     func(c *checker, t *T, v value)
	get      func(t *T) any // pointer to the field
}

// reload marks a row as live.
func (k key[T]) reload() key[T] {
	k.live = true
	return k
}

// apart marks a row as alone.
func (k key[T]) apart() key[T] {
	k.alone = true
	return k
}

// needed takes the default from a row.
func (k key[T]) needed() key[T] {
	k.standard = ""
	return k
}

// inTable makes rows of T out of rows of V, which is a table of that name and a part of T.
func inTable[T, V any](table string, rows []key[V], at func(*T) *V) []key[T] {
	var out []key[T]
	for _, k := range rows {
		out = append(out, key[T]{
			name: joinKey(table, k.name), bounds: k.bounds, standard: k.standard, live: k.live,
			read: func(c *checker, t *T, v value) { k.read(c, at(t), v) },
			get:  func(t *T) any { return k.get(at(t)) },
		})
	}
	return out
}

// preset stores the default, through the same reader that a written value takes.
func (k key[T]) preset(c *checker, t *T) {
	if k.standard == "" {
		return
	}
	var doc struct{ V any }
	if _, err := toml.Decode("V = "+k.standard, &doc); err != nil {
		panic(fmt.Sprintf("config: default of %s is not TOML: %v", k.name, err))
	}
	k.read(c, t, value{path: k.name, data: doc.V})
}

// fill gives out the defaults of rows and then what one table of the file, data, holds.
func fill[T any](c *checker, rows []key[T], out *T, table value, data map[string]any) {
	for _, k := range rows {
		k.preset(c, out)
	}
	for _, part := range slices.Sorted(maps.Keys(data)) {
		v := table.field(part, data[part])
		i := slices.IndexFunc(rows, func(k key[T]) bool { return k.name == part })
		if i < 0 {
			var known []string
			for _, k := range rows {
				known = append(known, k.name)
			}
			c.unknownKey(v, part, known)
			continue
		}
		rows[i].read(c, out, v)
	}
}

// same compares the field of two values of T.
func (k key[T]) same(a, b *T) bool { return reflect.DeepEqual(k.get(a), k.get(b)) }

func durationKey[T any](name string, low, high, grain time.Duration, standard string, at func(*T) *time.Duration) key[T] {
	return key[T]{
		name: name, standard: strconv.Quote(standard),
		bounds: durationText(low) + " to " + durationText(high),
		get:    func(t *T) any { return at(t) },
		read: func(c *checker, t *T, v value) {
			if d, ok := c.duration(v, low, high, grain); ok {
				*at(t) = d
			}
		},
	}
}

func integerKey[T any](name string, low, high, standard int64, at func(*T) *int) key[T] {
	return key[T]{
		name: name, standard: strconv.FormatInt(standard, 10),
		bounds: fmt.Sprintf("%d to %d", low, high),
		get:    func(t *T) any { return at(t) },
		read: func(c *checker, t *T, v value) {
			if n, ok := c.integer(v, low, high); ok {
				*at(t) = int(n)
			}
		},
	}
}

func sizeKey[T any, N int | int64](name string, low, high int64, standard string, at func(*T) *N) key[T] {
	return key[T]{
		name: name, standard: strconv.Quote(standard),
		bounds: sizeText(low) + " to " + sizeText(high),
		get:    func(t *T) any { return at(t) },
		read: func(c *checker, t *T, v value) {
			if n, ok := c.size(v, low, high); ok {
				*at(t) = N(n)
			}
		},
	}
}

func booleanKey[T any](name string, standard bool, at func(*T) *bool) key[T] {
	return key[T]{
		name: name, standard: strconv.FormatBool(standard),
		bounds: "true or false",
		get:    func(t *T) any { return at(t) },
		read: func(c *checker, t *T, v value) {
			if b, ok := c.boolean(v); ok {
				*at(t) = b
			}
		},
	}
}

// ownKey is a key of one upstream with the bounds of the key for all upstreams; left out, that one holds. at gives the place of a pointer
// which is then nil.
func ownKey[V any](name string, all key[Checked], at func(*Upstream) **V) key[Upstream] {
	return key[Upstream]{
		name: name, bounds: all.bounds, live: all.live,
		get: func(u *Upstream) any { return at(u) },
		read: func(c *checker, u *Upstream, v value) {
			before := len(c.problems)
			var scratch Checked
			if all.read(c, &scratch, v); !c.problems[before:].Broken() {
				*at(u) = all.get(&scratch).(*V)
			}
		},
	}
}

// choice is one allowed text and what it stands for.
type choice[V any] struct {
	text  string
	means V
}

func choiceKey[T, V any](name, standard string, choices []choice[V], at func(*T) *V) key[T] {
	var quoted []string
	for _, ch := range choices {
		quoted = append(quoted, strconv.Quote(ch.text))
	}
	last := len(quoted) - 1
	bounds := strings.Join(quoted[:last], ", ") + " or " + quoted[last]
	return key[T]{
		name: name, standard: strconv.Quote(standard), bounds: bounds,
		get: func(t *T) any { return at(t) },
		read: func(c *checker, t *T, v value) {
			s, ok := c.text(v)
			if !ok {
				return
			}
			for _, ch := range choices {
				if ch.text == s {
					*at(t) = ch.means
					return
				}
			}
			c.fault(v, "%q is not one of %s", s, bounds)
		},
	}
}

// texts makes choices that stand for themselves.
func texts(all ...string) []choice[string] {
	var out []choice[string]
	for _, s := range all {
		out = append(out, choice[string]{s, s})
	}
	return out
}
