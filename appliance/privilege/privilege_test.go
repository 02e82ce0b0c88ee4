package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// roleVar makes the test binary play one of roles instead of running tests: privileges are those of a whole process.
const roleVar = "PRIVILEGE_TEST_ROLE"

const (
	testUID = 65534
	testGID = 65533
)

var roles = map[string]func() error{
	"become": func() error {
		return Become(Identity{Name: "someone", UID: testUID, GID: testGID, Groups: []int{testGID, 65532}})
	},
	"become twice": func() error {
		if err := becomeSomeone(); err != nil {
			return err
		}
		return becomeSomeone()
	},
	"become another": func() error {
		if err := becomeSomeone(); err != nil {
			return err
		}
		return Become(Identity{Name: "other", UID: 4711, GID: testGID})
	},
	"drop": DropCapabilities,
}

// becomeSomeone leaves no supplementary group.
func becomeSomeone() error { return Become(Identity{Name: "someone", UID: testUID, GID: testGID}) }

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](); err != nil && !errors.Is(err, ErrCapabilitiesKept) {
		fmt.Println("error:", err)
		os.Exit(1)
	} else if err != nil {
		fmt.Println("kept")
	}
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		panic(err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			panic(err)
		}
		fmt.Print(string(text))
	}
	os.Exit(0)
}

func play(t *testing.T, role string) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: privileges can only be dropped by who has them")
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// field returns the values of one line of /proc/*/status over all threads, each value once.
func field(status, name string) string {
	var values []string
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			if v := strings.Join(strings.Fields(value), " "); len(values) == 0 || values[len(values)-1] != v {
				values = append(values, v)
			}
		}
	}
	return strings.Join(values, "|")
}

func TestBecome(t *testing.T) {
	for _, role := range []string{"become", "become twice"} {
		t.Run(role, func(t *testing.T) {
			out, err := play(t, role)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			groups := ""
			if role == "become" {
				groups = fmt.Sprint(65532, testGID)
			}
			for name, want := range map[string]string{
				"Uid": "65534 65534 65534 65534", "Gid": "65533 65533 65533 65533",
				"Groups": groups, "CapEff": "0000000000000000", "CapPrm": "0000000000000000",
			} {
				if got := field(out, name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestBecomeWithoutRoot(t *testing.T) {
	out, err := play(t, "become another")
	if err == nil || !strings.Contains(out, "become user other: only root can, and this process runs as uid 65534") {
		t.Errorf("got %v, %q", err, out)
	}
}

func TestDropCapabilities(t *testing.T) {
	out, err := play(t, "drop")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.HasPrefix(out, "kept\n") {
		t.Skip(ErrCapabilitiesKept)
	}
	for _, name := range []string{"CapEff", "CapPrm", "CapAmb", "CapInh"} {
		if got, want := field(out, name), "0000000000000000"; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
