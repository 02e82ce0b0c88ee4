// Package wasm makes inspectors of questions (worker/inspect) from WebAssembly modules, with github.com/tetratelabs/wazero, which is pure Go.
//
// A module exports three things and imports nothing: it has no files, no network, no clock, no WASI.
//
//	memory                           its linear memory
//	buffer() -> i32                  where in it the host may write inspect.QuestionBytesMax bytes; called once, after the start function
//	inspect(ptr: i32, len: i32) -> i64   the verdict on the question there: see inspect.Question for its bytes, inspect.Verdict for the verdict's
//
// Each worker has an instance of its own, which keeps its memory from one call to the next, so that a module may count and remember.
//
// Limits. Memory: the module may grow to so many bytes for each worker; memory.grow fails beyond, with -1, as WebAssembly says. A table has to say its maximum,
// tableEntriesMax at most. Time: wazero counts no instructions, there is no fuel. Instead a call is ended when the question's budget is over: loops and calls look at a flag
// that a timer sets. That costs a goroutine and a timer for each call, about 2 us, and a few percent in loops. What was ended cannot be used any more, so that the next
// question gets a new instance, with fresh memory; the same after a trap. One bulk instruction (memory.fill) is not interrupted; memory's limit bounds it.
//
// Interpreted, a module needs no memory that is writable and executable, which the systemd unit forbids (MemoryDenyWriteExecute). Compiled to machine code it is
// faster where it computes much; the example takes 1.8 us a call compiled and 2.2 us interpreted, most of it the timer.
package wasm
