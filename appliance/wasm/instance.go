package wasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"secure-dns-proxy/worker/inspect"
)

// instance is one worker's.
type instance struct {
	from    *Module
	module  api.Module // nil: it was ended, the next question begins a new one
	inspect api.Function
	buffer  uint32
	stack   [2]uint64 // arguments, result
	raw     []byte    // scratch
}

// begin makes a new instance and finds out where questions go.
func (i *instance) begin() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	module, err := i.from.runtime.InstantiateModule(ctx, i.from.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return ended(ctx, "start", err)
	}
	i.module, i.inspect = module, module.ExportedFunction(inspectName)
	result, err := module.ExportedFunction(bufferName).Call(ctx)
	if err != nil {
		i.Close()
		return ended(ctx, bufferName, err)
	}
	i.buffer = api.DecodeU32(result[0])
	if uint64(i.buffer)+inspect.QuestionBytesMax > uint64(module.Memory().Size()) {
		i.Close()
		return fmt.Errorf("%s gives %d: there are not %d bytes of memory", bufferName, i.buffer, inspect.QuestionBytesMax)
	}
	return nil
}

// Inspect asks the module.
func (i *instance) Inspect(ctx context.Context, q *inspect.Question) (inspect.Verdict, error) {
	if i.module == nil {
		if err := i.begin(); err != nil {
			return inspect.Verdict{}, err
		}
	}
	i.raw = q.Append(i.raw[:0])
	if !i.module.Memory().Write(i.buffer, i.raw) {
		return inspect.Verdict{}, errors.New("the module's buffer is gone") // never: memory does not shrink
	}
	i.stack = [2]uint64{api.EncodeU32(i.buffer), uint64(len(i.raw))}
	if err := i.inspect.CallWithStack(ctx, i.stack[:]); err != nil {
		i.Close() // what was ended half-way is in no state that it knows
		return inspect.Verdict{}, ended(ctx, inspectName, err)
	}
	v, ok := inspect.Decode(i.stack[0], q.Point)
	if !ok {
		return v, fmt.Errorf("%s gives %#x, which is no verdict", inspectName, i.stack[0])
	}
	return v, nil
}

// Close ends the instance.
func (i *instance) Close() {
	if i.module != nil {
		i.module.Close(context.Background()) // an error would be one of closing files, and there are none
		i.module = nil
	}
}

// ended says why a function came to its end.
func ended(ctx context.Context, function string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s was ended: %w", function, cause)
	}
	return fmt.Errorf("%s: %w", function, err)
}
