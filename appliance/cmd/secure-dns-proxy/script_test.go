package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"secure-dns-proxy": main})
}

func TestScripts(t *testing.T) {
	example, err := filepath.Abs("../../../proxy.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("EXAMPLE", example)
			return nil
		},
	})
}

// TestExitCodes: testscript only tells failure from success.
func TestExitCodes(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want int
	}{
		{"bad flag", []string{"--nonsense"}, 2},
		{"missing file", []string{"--config", "/nonexistent/proxy.toml"}, 2},
		{"check without a file", []string{"--check"}, 2},
		{"check of a missing file", []string{"--check", "--config", "/nonexistent/proxy.toml"}, 2},
		{"check of a good file", []string{"--check", "--config", "../../../proxy.toml.example"}, 0},
		{"help", []string{"-h"}, 0},
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := run(tt.args, null, null); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
