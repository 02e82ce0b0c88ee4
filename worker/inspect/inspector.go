package inspect

import (
	"context"
	"errors"
)

// Inspector decides on questions. It is called by one goroutine.
type Inspector interface {
	// Inspect returns the verdict on q, which it may look at during the call only. ctx ends when nobody waits for it any more: an inspector that goes on longer holds
	// up the questions behind it, which have no verdict then. An error is counted, and the question treated as if there were no verdict.
	Inspect(ctx context.Context, q *Question) (Verdict, error)
	// Close releases it.
	Close()
}

// Source makes Inspectors of one kind: one for each worker. Any goroutine.
type Source interface {
	Open() (Inspector, error)
	// Close is called once, when all that it has made are closed.
	Close()
}

// Registry is what a program that embeds the proxy offers, by the name in the configuration (inspect.name).
type Registry map[string]func() (Source, error)

// Func is an inspector without state, and the source of itself.
type Func func(ctx context.Context, q *Question) (Verdict, error)

// Inspect calls f.
func (f Func) Inspect(ctx context.Context, q *Question) (Verdict, error) { return f(ctx, q) }

// Open returns f.
func (f Func) Open() (Inspector, error) { return f, nil }

// Close does nothing.
func (Func) Close() {}

var errGone = errors.New("the inspector is being replaced")
