package config

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/appliance/wasm"
	"secure-dns-proxy/worker/inspect"
)

// What inspect.kind may be.
const (
	InspectOff  = "off"
	InspectWASM = "wasm"
	InspectGo   = "go"
)

// What inspect.on_failure may be.
const (
	InspectPass   = "pass"
	InspectRefuse = "refuse"
)

// Inspect is who looks at questions before an upstream is asked, and at what else.
type Inspect struct {
	Kind      string // one of InspectOff, InspectWASM, InspectGo
	Module    string // a file, with its content in Code
	Code      []byte
	MemoryMax int  // bytes, per worker
	Compiled  bool // the module, to machine code
	Name      string
	Points    []string                      // of inspect.PointNames
	Budget    [inspect.Points]time.Duration // by inspect.Point
	OnFailure [inspect.Points]string        // InspectPass or InspectRefuse
	Tags      []string
	TagBits   []uint64 // the same in the policy
	KeptMax   int      // verdicts, per worker; 0: none
}

// WASM is how a module is run.
func (i *Inspect) WASM() wasm.Config { return wasm.Config{Memory: i.MemoryMax, Compiled: i.Compiled} }

// Sum tells modules apart.
func (i *Inspect) Sum() [sha256.Size]byte { return sha256.Sum256(i.Code) }

// SameInspector returns whether the inspector made for i can serve other, too.
func (i *Inspect) SameInspector(other *Inspect) bool {
	if i.Kind != other.Kind {
		return false
	}
	if i.Kind == InspectWASM {
		return bytes.Equal(i.Code, other.Code) && i.WASM() == other.WASM()
	}
	return i.Name == other.Name
}

// inspectKeys are the keys of [inspect].
var inspectKeys = []key[Inspect]{
	choiceKey("kind", InspectOff, texts(InspectOff, InspectWASM, InspectGo), func(i *Inspect) *string { return &i.Kind }).reload(),
	key[Inspect]{
		name: "module", standard: `""`, bounds: "a WebAssembly file of up to 8MiB",
		read: readModule, get: func(i *Inspect) any { return &i.Module },
	}.reload(),
	sizeKey("memory_max", wasm.MemoryMin, wasm.MemoryMax, "4MiB", func(i *Inspect) *int { return &i.MemoryMax }).reload(),
	booleanKey("compiled", false, func(i *Inspect) *bool { return &i.Compiled }).reload(),
	key[Inspect]{
		name: "name", standard: `""`, bounds: "a name", get: func(i *Inspect) any { return &i.Name },
		read: func(c *checker, i *Inspect, v value) {
			if text, ok := c.text(v); ok {
				i.Name = text
			}
		},
	}.reload(),
	key[Inspect]{
		name: "points", standard: `["miss"]`, bounds: `1 to 3 of "miss", "query" and "response"`,
		read: readPoints, get: func(i *Inspect) any { return &i.Points },
	}.reload(),
	budgetKey("budget", inspect.AtMiss), failureKey("on_failure", inspect.AtMiss),
	budgetKey("query_budget", inspect.AtQuery), failureKey("query_on_failure", inspect.AtQuery),
	budgetKey("response_budget", inspect.AtResponse), failureKey("response_on_failure", inspect.AtResponse),
	key[Inspect]{
		name: "tags", standard: `[]`, bounds: fmt.Sprintf("up to %d names of tags", inspect.TagsMax),
		read: readInspectTags, get: func(i *Inspect) any { return &i.Tags },
	}.reload(),
	integerKey("kept_verdicts", 0, inspect.KeptMax, 16384, func(i *Inspect) *int { return &i.KeptMax }).reload(),
}

func budgetKey(name string, at inspect.Point) key[Inspect] {
	return durationKey(name, inspect.BudgetMin, inspect.BudgetMax, time.Microsecond, "10ms", func(i *Inspect) *time.Duration { return &i.Budget[at] }).reload()
}

func failureKey(name string, at inspect.Point) key[Inspect] {
	return choiceKey(name, InspectPass, texts(InspectPass, InspectRefuse), func(i *Inspect) *string { return &i.OnFailure[at] }).reload()
}

// Where is what happens at each point that the inspector looks at, for the log.
func (i *Inspect) Where() string {
	var parts []string
	for at, name := range inspect.PointNames {
		if i.Asks(inspect.Point(at)) {
			parts = append(parts, fmt.Sprintf("%s within %v, else %s", name, i.Budget[at], i.OnFailure[at]))
		}
	}
	return strings.Join(parts, "; ")
}

// Asks reports whether the inspector looks at a point.
func (i *Inspect) Asks(at inspect.Point) bool {
	return slices.Contains(i.Points, inspect.PointNames[at])
}

func readPoints(c *checker, i *Inspect, v value) {
	i.Points = nil
	items, ok := c.oneOrMany(v, inspect.Points)
	if ok && len(items) == 0 {
		c.fault(v, "is empty: to switch inspection off, write inspect.kind = \"off\"")
	}
	for _, item := range items {
		name, ok := c.text(item)
		switch {
		case !ok:
		case !slices.Contains(inspect.PointNames[:], name):
			c.fault(item, "%q is not one of %q", name, inspect.PointNames)
		case slices.Contains(i.Points, name):
			c.fault(item, "%q stands twice", name)
		default:
			i.Points = append(i.Points, name)
		}
	}
}

func readInspectTags(c *checker, i *Inspect, v value) {
	i.Tags = nil
	items, _ := c.oneOrMany(v, inspect.TagsMax)
	for _, item := range items {
		name, ok := c.text(item)
		switch {
		case !ok:
		case !labelText(name):
			c.noTag(item, name)
		case slices.Contains(i.Tags, name):
			c.fault(item, "%q stands twice", name)
		default:
			i.Tags = append(i.Tags, name)
		}
	}
}

func readModule(c *checker, i *Inspect, v value) {
	i.Module, i.Code = "", nil
	file, ok := c.text(v)
	if !ok || file == "" {
		return
	}
	f, err := os.Open(file)
	if err != nil {
		c.fault(v, "%q: %s", file, fileFault(err))
		return
	}
	defer f.Close()
	code, err := io.ReadAll(io.LimitReader(f, wasm.ModuleBytesMax+1)) // with a byte too many it is refused later
	if err != nil {
		c.fault(v, "%q: %s", file, fileFault(err))
		return
	}
	i.Module, i.Code = file, code
}

// inspection checks what no single key of [inspect] can know, and that the module can be run.
func (c *checker) inspection(out *Checked) {
	i := &out.Inspect
	if i.KeptMax != 0 && i.KeptMax < inspect.KeptMin {
		c.fault(c.written("inspect.kept_verdicts"), "%d is too few: 0, or %d and more", i.KeptMax, inspect.KeptMin)
	}
	at := func(name string) value { return c.written("inspect." + name) }
	switch i.Kind {
	case InspectOff:
	case InspectGo:
		if i.Name == "" {
			c.fault(at("kind"), "needs inspect.name, of an inspector of the program")
		}
	case InspectWASM:
		if i.Module == "" {
			if c.written("inspect.module").line == 0 { // else it was told what is wrong with that
				c.fault(at("kind"), "needs inspect.module")
			}
			return
		}
		m, err := wasm.Load(i.Code, i.WASM())
		if err != nil {
			c.fault(at("module"), "%q: %v", i.Module, err)
			return
		}
		m.Close()
	}
}

// inspectTags gives the inspector's tags their numbers, which rules have given theirs before.
func (c *checker) inspectTags(out *Checked) {
	i := &out.Inspect
	for _, name := range i.Tags {
		n, ok := c.tagNumber(c.written("inspect.tags"), name)
		if !ok {
			return
		}
		i.TagBits = append(i.TagBits, 1<<n)
	}
}
