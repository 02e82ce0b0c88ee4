package main

import (
	"strings"
	"testing"

	"secure-dns-proxy/worker/inspect"
)

func TestLabels(t *testing.T) {
	inspector, err := labels{max: 10}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close()
	for count, want := range map[int]inspect.Verdict{0: {}, 1: {}, 10: {}, 11: inspect.Refused(), 120: inspect.Refused()} {
		q := inspect.Question{Name: []byte(strings.Repeat("\x01a", count) + "\x00")}
		if v, err := inspector.Inspect(t.Context(), &q); err != nil || v != want {
			t.Errorf("%d labels: got %+v, %v, want %+v", count, v, err, want)
		}
	}
}
