// Package inspect shows questions that are about to be asked of an upstream to code of somebody else's, which decides whether they are: governance code in Go, or a
// WebAssembly module (appliance/wasm). Hits of the cache are never shown, nor what is answered here.
//
//	worker: Line.Ask ──> queue ──> Host's goroutine of that worker: Inspector.Inspect ──> queue ──> Line.Receive
//
// The worker does not wait: the question's slot does, with a timer, for as long as the budget says. Questions that the same worker is asked meanwhile join the slot and
// share its verdict, and what passes is cached and given to everybody: a verdict is on the question; the client that is shown is the first one that asked.
//
// An Inspector belongs to one goroutine, of one worker. What it does wrong costs its questions their verdict, and nothing else: an error, a panic (which is
// recovered) or too much time. After failuresMax in a row it rests.
package inspect
