package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// showProgress prints a line each second until ctx is done.
func (l *load) showProgress(ctx context.Context, w *os.File) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var sentBefore, answeredBefore uint64
	at := l.clock.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
		}
		var sent, answered, lost uint64
		for i := range l.lives {
			sent += l.lives[i].Sent.Load()
			answered += l.lives[i].Answered.Load()
			lost += l.lives[i].Lost.Load()
		}
		now := l.clock.Now()
		passed := time.Duration(now - at).Seconds()
		phase := "warm-up"
		switch {
		case now >= l.plan.To:
			phase = "waiting for answers"
		case now >= l.plan.From:
			phase = "measuring"
		}
		fmt.Fprintf(w, "%4.0f s  %-10s  %8.0f sent/s  %8.0f answered/s  %d outstanding  %d lost\n",
			time.Duration(now-l.plan.Start).Seconds(), phase, float64(sent-sentBefore)/passed, float64(answered-answeredBefore)/passed,
			max(sent, answered+lost)-answered-lost, lost)
		sentBefore, answeredBefore, at = sent, answered, now
	}
}
