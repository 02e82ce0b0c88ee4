package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/persist"
	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/worker"
)

// keeper lets the cache outlive the process: it reads a file at the start and writes it at the end, and in between at intervals. Any goroutine may
// call its methods.
type keeper struct {
	log     *slog.Logger
	group   *worker.Group
	figures telemetry.Kept

	busy    sync.Mutex // a file is being read or written
	loaded  atomic.Bool
	changed chan struct{}
	now     func() time.Time

	mu       sync.Mutex
	file     string // "": off
	interval time.Duration
}

func newKeeper(log *slog.Logger) *keeper {
	return &keeper{log: log, changed: make(chan struct{}, 1), now: time.Now}
}

// adopt puts the settings into force.
func (k *keeper) adopt(c *config.Cache) {
	k.mu.Lock()
	k.file, k.interval = c.Persist, c.PersistInterval
	k.mu.Unlock()
	select {
	case k.changed <- struct{}{}:
	default: // it is known already
	}
}

func (k *keeper) settings() (file string, interval time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.file, k.interval
}

// run reads the file, and writes it at each interval, until ctx ends.
func (k *keeper) run(ctx context.Context) {
	k.begin(ctx)
	for {
		file, interval := k.settings()
		var due <-chan time.Time // never without an interval
		if file != "" && interval > 0 {
			due = time.After(interval)
		}
		select {
		case <-ctx.Done():
			return
		case <-k.changed:
		case <-due:
			k.keep(ctx, file)
		}
	}
}

// begin loads what an earlier process has left. Whatever is wrong with it, the start goes on.
func (k *keeper) begin(ctx context.Context) {
	if file, _ := k.settings(); file != "" {
		folder := filepath.Dir(file)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			k.log.Warn("the cache cannot be kept: there is no such folder", "folder", folder)
		}
		if _, err := k.load(ctx, file); err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
			k.log.Warn("the kept cache was not read, or not to its end; starting without the rest", "file", file, "reason", err)
		}
	}
	if ctx.Err() == nil {
		k.loaded.Store(true)
	}
}

// finish writes the file for the next process. Not before the start has read it: what it has would be lost.
func (k *keeper) finish() {
	file, _ := k.settings()
	k.adopt(&config.Cache{}) // nothing more at intervals
	switch {
	case file == "":
	case !k.loaded.Load():
		k.log.Info("the kept cache stays as it is: it was not read to its end yet", "file", file)
	default:
		ctx, cancel := context.WithTimeout(context.Background(), keepTimeout)
		defer cancel()
		k.keep(ctx, file)
	}
}

// keep writes the file and logs what came of it.
func (k *keeper) keep(ctx context.Context, file string) {
	if d, err := k.dump(ctx, file); err != nil {
		k.log.Warn("cache not written, the file of before stays", "file", file, "error", err)
	} else {
		k.log.Info("cache written", "file", file, "answers", d.answers, "bytes", d.bytes, "took", d.took)
	}
}

// dumped is a file that was written.
type dumped struct {
	answers uint64
	bytes   int64
	took    time.Duration
}

// dump writes all that is cached to a file. It takes the place of an older one when it is whole.
func (k *keeper) dump(ctx context.Context, file string) (d dumped, err error) {
	k.busy.Lock()
	defer k.busy.Unlock()
	defer func() {
		if err != nil {
			k.figures.Failed.Add(1)
		}
	}()
	from := k.now()
	w, err := persist.Create(file, persist.Header{Written: from, Names: k.group.KeyNames()})
	if err != nil {
		return d, err
	}
	if d.answers, err = k.group.Dump(ctx, w.Add); err != nil {
		return d, errors.Join(err, w.Abandon())
	}
	if d.bytes, err = w.Commit(); err != nil {
		return d, err
	}
	d.took = time.Since(from)
	k.figures.Written.Add(1)
	k.figures.Answers.Store(d.answers)
	k.figures.Bytes.Store(uint64(d.bytes))
	k.figures.Took.Store(int64(d.took))
	k.figures.At.Store(from.UnixNano())
	return d, nil
}

// load reads a file into the caches. With an error, what came before it has been loaded.
func (k *keeper) load(ctx context.Context, file string) (out worker.Restored, err error) {
	k.busy.Lock()
	defer k.busy.Unlock()
	from := time.Now()
	r, err := persist.Open(file)
	if err != nil {
		k.damaged(err)
		return out, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	away := k.now().Sub(r.Header.Written)
	if away < -clockSlack {
		return out, fmt.Errorf("it was written at %s, which has not come yet: how old its answers are is not known", r.Header.Written.UTC().Format(time.RFC3339))
	}
	out, err = k.group.Load(ctx, r.Header.Names, away, r.Next)
	k.figures.Loaded.Add(out.Answers)
	k.figures.Expired.Add(out.Expired)
	k.figures.Known.Add(out.Known)
	k.figures.Lost.Add(out.Foreign + out.Damaged)
	k.damaged(err)
	if ctx.Err() == nil {
		k.log.Info("cache loaded", "file", file, "answers", out.Answers, "expired", out.Expired, "known", out.Known,
			"lost", out.Foreign+out.Damaged, "away", max(away, 0).Round(time.Second), "took", time.Since(from))
	}
	return out, err
}

func (k *keeper) damaged(err error) {
	if d := new(persist.Damage); errors.As(err, &d) {
		k.figures.Damaged.Add(1)
	}
}
