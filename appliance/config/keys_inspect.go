package config

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
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

// Inspect is who looks at questions before an upstream is asked.
type Inspect struct {
	Kind      string // one of InspectOff, InspectWASM, InspectGo
	Module    string // a file, with its content in Code
	Code      []byte
	MemoryMax int  // bytes, per worker
	Compiled  bool // the module, to machine code
	Name      string
	Budget    time.Duration
	OnFailure string // InspectPass or InspectRefuse
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
	durationKey("budget", inspect.BudgetMin, inspect.BudgetMax, time.Microsecond, "10ms", func(i *Inspect) *time.Duration { return &i.Budget }).reload(),
	choiceKey("on_failure", InspectPass, texts(InspectPass, InspectRefuse), func(i *Inspect) *string { return &i.OnFailure }).reload(),
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
