package appliance

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// terminal reports whether a person looks at f.
func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// screen keeps one line at the bottom of a terminal that changes in place, and lets log records pass above it.
type screen struct {
	mu   sync.Mutex
	out  io.Writer // the terminal
	log  io.Writer // where records go; the same terminal, or not
	line string    // as last shown; empty: none
}

const clearLine = "\r\x1b[K"

// show replaces the line.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = line
	fmt.Fprint(s.out, clearLine+line)
}

// end leaves the last line where it is.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != "" {
		fmt.Fprintln(s.out)
	}
	s.line = ""
}

// Write is for log records: whole lines.
func (s *screen) Write(record []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != "" {
		fmt.Fprint(s.out, clearLine)
	}
	n, err := s.log.Write(record)
	if s.line != "" {
		fmt.Fprint(s.out, s.line)
	}
	return n, err
}
