package health

import (
	"errors"
	"strings"
	"testing"
)

// TestBar: nothing that an upstream answers, and no trial, brings back one that is barred; the operator can.
func TestBar(t *testing.T) {
	c := &clock{now: 10e9}
	s := New(c.read)
	s.Bar(c.now, errors.New("it goes round"))
	c.now += 10e9
	s.Succeeded(c.now, 1e6)
	s.Probed(c.now, ProbeGood, 1e6, nil)
	s.Up()
	if s.Status() != ForcedDown || s.Eligible(c.now) || s.Allow(c.now) || s.Share(c.now) != 0 {
		t.Errorf("status %v", s.Status())
	}
	cfg := Default()
	cfg.Manual = Use
	s.Configure(c.now, cfg)
	if s.Status() != ForcedUp {
		t.Errorf("the operator insists, status %v", s.Status())
	}
	s.Configure(c.now, Default())
	s.Unbar(c.now)
	if !s.Status().InUse() || !s.Eligible(c.now) {
		t.Errorf("afterwards: status %v", s.Status())
	}
	list, _ := s.Transitions(nil)
	if len(list) != 4 || list[0].To != ForcedDown || !strings.Contains(list[0].Reason.Error(), "it goes round") {
		t.Errorf("transitions %v", list)
	}
}
