package rpz

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"secure-dns-proxy/worker/rpz"
)

const soaText = "@ 300 SOA ns.rpz.test. hostmaster.rpz.test. 7 3600 600 86400 60\n"

// journal is a log that a test can read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// group is workers that do nothing.
type group struct {
	mu   sync.Mutex
	set  *rpz.Set
	sets int
}

func (g *group) ResponsePolicies(s *rpz.Set) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set = s
	g.sets++
}

func (g *group) ZoneHits(func(*rpz.Hit)) uint64 { return 0 }

// action asks the set in force about a name.
func (g *group) action(name string) rpz.Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	var n rpz.Name
	n.Set(wireName(name))
	if g.set == nil {
		return rpz.None
	}
	return g.set.Query(&n, &rpz.Asker{}).Match.Action
}

// keeper is a Keeper that runs with a configuration.
func keeper(t *testing.T, c *Config) (*Keeper, *group, *journal) {
	t.Helper()
	log := new(journal)
	k, err := NewKeeper(c, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	adopt(t, k, c)
	g, ctx := new(group), t.Context()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() { defer close(done); k.Run(ctx, g) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k, g, log
}

func adopt(t *testing.T, k *Keeper, c *Config) {
	t.Helper()
	commit, err := k.Plan(c)
	if err != nil {
		t.Fatal(err)
	}
	commit()
}

// eventually waits for something that is sure to come.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 3000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not in 30 s: %s", what)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestFileChanges: a file is read again when it changes; one that is wrong changes nothing, and is named with its line.
func TestFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.zone")
	write(t, path, soaText+"bad CNAME .\n")
	k, g, log := keeper(t, &Config{Zones: []Zone{{Name: "rpz.test.", File: path}}})
	eventually(t, "the zone is in force", func() bool { return g.action("bad.") == rpz.NXDomain })
	write(t, path, soaText+"bad CNAME *.\nworse CNAME .\n")
	eventually(t, "the new zone is in force", func() bool { return g.action("bad.") == rpz.NoData && g.action("worse.") == rpz.NXDomain })
	write(t, path, soaText+"bad CNAME rpz-drop.\n33.1.2.0.192.rpz-ip CNAME .\n")
	eventually(t, "the bad zone is refused", func() bool { return strings.Contains(log.String(), "refused") })
	if g.action("bad.") != rpz.NoData {
		t.Error("a zone that was refused is in force")
	}
	if want := path + ":3: 33.1.2.0.192.rpz-ip.rpz.test.: prefix length 33"; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, log)
	}
	list, _ := k.Reports()
	if r := list[0]; r.Loaded != 2 || r.Rejected != 1 || !r.InForce || r.Serial != 7 || r.Triggers[rpz.QName] != 2 {
		t.Errorf("reported: %+v", r)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, soaText+"good CNAME .\n")
	eventually(t, "the zone that came back is in force", func() bool { return g.action("good.") == rpz.NXDomain })
}

// TestBadFiles: each with its line, or its column where the text is no zone file.
func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		soaText + "a CNAME .\n\n; comment\nb CNAME\n":                   "x.zone:5: b.rpz.test.: has no data",
		soaText + "a CNAME .\n\n; comment\nc IN A 1.2.3.4\nc CNAME .\n": "x.zone:6: c.rpz.test.: has other records beside",
		soaText + "a TXT ( \"x\"\n \"y\" )\nb.rpz-ip A 1.2.3.4\n":       "x.zone:4: b.rpz-ip.rpz.test.: prefix length",
		"a 60 CNAME .\n":                       "x.zone: the zone has no SOA",
		soaText + "www.example.com. CNAME .\n": "x.zone:2: www.example.com.: is not below the zone's origin",
		soaText + "a CH TXT x\n":               "x.zone:2: a.rpz.test.: has another class than IN",
		soaText + "$INCLUDE /etc/passwd\n":     "$INCLUDE directive not allowed",
		soaText + "a 300 IN NOTATYPE x\n":      "line: 2",
		"$TTL 1\n" + soaText + "$GENERATE 1-3 a$ CNAME .\n$GENERATE 1-2 33.$.0.0.10.rpz-ip CNAME .\n": "x.zone:4: 33.1.0.0.10.rpz-ip.rpz.test.: prefix length 33",
	} {
		_, err := parseZone(strings.NewReader(text), "x.zone", "rpz.test.")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// TestPlanChangesNothing: a configuration with a bad file is refused as a whole, and what is in force stays.
func TestPlanChangesNothing(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	write(t, good, soaText+"a CNAME .\n")
	write(t, bad, soaText+"a.rpz-x CNAME .\n")
	k, g, _ := keeper(t, &Config{Zones: []Zone{{Name: "rpz.test.", File: good}}})
	eventually(t, "the zone is in force", func() bool { return g.action("a.") == rpz.NXDomain })
	if _, err := k.Plan(&Config{Zones: []Zone{{Name: "rpz.test.", File: good, Override: rpz.OverrideNoData}, {Name: "b.", File: bad}}}); err == nil || !strings.Contains(err.Error(), bad+":2: ") {
		t.Errorf("got %v", err)
	}
	if g.action("a.") != rpz.NXDomain {
		t.Error("what was planned is in force")
	}
	adopt(t, k, &Config{Zones: []Zone{{Name: "rpz.test.", File: good, Override: rpz.OverrideNoData}}})
	if g.action("a.") != rpz.NoData {
		t.Error("what was committed is not in force")
	}
	adopt(t, k, &Config{})
	if g.action("a.") != rpz.None {
		t.Error("a zone that was taken out is in force")
	}
}

// TestCopyIsTheZone: what is written is read again as the same zone.
func TestCopyIsTheZone(t *testing.T) {
	z, err := parseZone(strings.NewReader("$TTL 77\n"+soaText+`a CNAME .
*.a CNAME *.
\065\.b\000c TXT "x;y" "\"z"
d A 192.0.2.1
d MX 10 mail.example.
e CNAME *.garden.example.
32.1.2.0.192.rpz-ip CNAME rpz-drop.
48.zz.2.2001.rpz-client-ip A 10.0.0.1
*.ns.example.rpz-nsdname CNAME rpz-tcp-only.
24.0.2.0.192.rpz-nsip CNAME rpz-passthru.
f TYPE65534 \# 2 abcd
`), "", "rpz.test.")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy")
	if err := writeZone(path, "rpz.test.", z); err != nil {
		t.Fatal(err)
	}
	again, err := readZone(path, "rpz.test.", nil)
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := printZone(&first, "rpz.test.", z); err != nil {
		t.Fatal(err)
	}
	if err := printZone(&second, "rpz.test.", again); err != nil {
		t.Fatal(err)
	}
	sorted := func(b *bytes.Buffer) string {
		l := strings.Split(b.String(), "\n")
		for i := range l {
			for j := i + 1; j < len(l); j++ {
				if l[j] < l[i] {
					l[i], l[j] = l[j], l[i]
				}
			}
		}
		return strings.Join(l, "\n")
	}
	if sorted(&first) != sorted(&second) || z.Len() != again.Len() || z.Len() != 10 {
		t.Errorf("%d triggers, then %d:\n%s\n%s", z.Len(), again.Len(), first.String(), second.String())
	}
	left, err := filepath.Glob(filepath.Dir(path) + "/.rpz-*")
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
