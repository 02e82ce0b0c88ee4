// Package inspect shows what goes on to code of somebody else's, which decides whether it does: governance code in Go, or a WebAssembly module (appliance/wasm).
// It looks at up to three points (Point): at questions that are about to be asked of an upstream, at answers before they are kept and given, and at
// queries before the cache is looked into. Hits of the cache are shown at the last one only.
//
//	worker: Line.Ask ──> queue ──> Host's goroutine of that worker: Inspector.Inspect ──> queue ──> Line.Receive
//
// The worker does not wait: the question's slot, the answer or the query does, with a timer, for as long as the budget says. Questions that the same worker is asked meanwhile
// join the slot and share its verdict, and what passes is cached and given to everybody: but for queries, a verdict is on the question; the client that is
// shown is the first one that asked. A verdict may say that it holds for a while, and for what: then the worker keeps it (Kept) and does not ask again.
//
// An Inspector belongs to one goroutine, of one worker. What it does wrong costs its questions their verdict, and nothing else: an error, a panic (which is
// recovered) or too much time. After failuresMax in a row it rests.
package inspect
