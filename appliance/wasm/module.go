package wasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"secure-dns-proxy/worker/inspect"
)

// Config is how a module is run.
type Config struct {
	Memory   int  // bytes that an instance may have, MemoryMin to MemoryMax; parts of a page are not used
	Compiled bool // to machine code; else it is interpreted
}

// Module is a module that was found good: an inspect.Source.
type Module struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

// Load reads a module in binary form, and makes an instance to see that it works. The caller owes it a Close.
func Load(code []byte, cfg Config) (m *Module, err error) {
	if len(code) > ModuleBytesMax {
		return nil, fmt.Errorf("%d bytes: at most %d are allowed", len(code), ModuleBytesMax)
	}
	if cfg.Memory < MemoryMin || cfg.Memory > MemoryMax {
		return nil, fmt.Errorf("memory of %d bytes: want %d to %d", cfg.Memory, MemoryMin, MemoryMax)
	}
	settings := wazero.NewRuntimeConfigInterpreter()
	if cfg.Compiled {
		settings = wazero.NewRuntimeConfigCompiler()
	}
	ctx := context.Background()
	m = new(Module)
	defer func() {
		if p := recover(); p != nil { // wazero's way to say that the kernel gives no executable memory
			err = fmt.Errorf("cannot be run here: %v", p)
		}
		if err != nil {
			m.Close()
			m = nil
		}
	}()
	m.runtime = wazero.NewRuntimeWithConfig(ctx, settings.WithMemoryLimitPages(uint32(cfg.Memory/PageBytes)).WithCloseOnContextDone(true).WithDebugInfoEnabled(false))
	if m.compiled, err = m.runtime.CompileModule(ctx, code); err != nil {
		return m, err
	}
	if err := errors.Join(checkImports(m.compiled), checkExports(m.compiled), checkTables(code)); err != nil {
		return m, err
	}
	first, err := m.Open()
	if err != nil {
		return m, err
	}
	first.Close()
	return m, nil
}

// Open makes an instance.
func (m *Module) Open() (inspect.Inspector, error) {
	i := &instance{from: m}
	if err := i.begin(); err != nil {
		return nil, err
	}
	return i, nil
}

// Close gives back what the module takes; its instances are closed.
func (m *Module) Close() {
	if m.runtime != nil {
		m.runtime.Close(context.Background()) // an error would be one of closing files, and there are none
	}
}

func checkImports(m wazero.CompiledModule) error {
	var errs []error
	for _, f := range m.ImportedFunctions() {
		from, name, _ := f.Import()
		errs = append(errs, fmt.Errorf("imports the function %s.%s: nothing is offered", from, name))
	}
	for _, memory := range m.ImportedMemories() {
		from, name, _ := memory.Import()
		errs = append(errs, fmt.Errorf("imports the memory %s.%s: nothing is offered", from, name))
	}
	return errors.Join(errs...)
}

const (
	memoryName  = "memory"
	bufferName  = "buffer"
	inspectName = "inspect"
)

func checkExports(m wazero.CompiledModule) error {
	var errs []error
	if m.ExportedMemories()[memoryName] == nil {
		errs = append(errs, fmt.Errorf("exports no memory %q", memoryName))
	}
	const i32, i64 = api.ValueTypeI32, api.ValueTypeI64
	for _, want := range []struct {
		name, shape     string
		params, results []api.ValueType
	}{
		{bufferName, "() -> i32", nil, []api.ValueType{i32}},
		{inspectName, "(i32, i32) -> i64", []api.ValueType{i32, i32}, []api.ValueType{i64}},
	} {
		f := m.ExportedFunctions()[want.name]
		if f == nil || string(f.ParamTypes()) != string(want.params) || string(f.ResultTypes()) != string(want.results) {
			errs = append(errs, fmt.Errorf("exports no function %s%s", want.name, want.shape))
		}
	}
	return errors.Join(errs...)
}
