package appliance

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"secure-dns-proxy/appliance/control"
)

// TestCacheCommands: what a query has cached is shown, refreshed and flushed over the socket.
func TestCacheCommands(t *testing.T) {
	p, c := commanded(t, `upstream = "embedded:"`)
	ctx := context.Background()
	p.ask(t, "udp", "www.demo.example.")
	p.ask(t, "udp", "none.demo.example.")
	look := func(q url.Values) (found control.Cached) {
		t.Helper()
		if err := c.Do(ctx, "GET", "/v1/cache?"+q.Encode(), nil, &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := look(url.Values{"name": {"WWW.demo.example"}})
	if len(found.Answers) != 1 {
		t.Fatalf("found %+v", found)
	}
	a := found.Answers[0]
	if a.Name != "www.demo.example." || a.Type != "A" || a.Flags != "rd" || a.Pool != "default" || a.RCode != "NOERROR" || a.Negative || a.Answer != 1 ||
		a.TTL != 300 || a.Left > 300 || a.Left < 250 {
		t.Errorf("found %+v", a)
	}
	if found = look(url.Values{"name": {"demo.example"}, "suffix": {"true"}, "type": {"A"}}); len(found.Answers) != 2 {
		t.Errorf("below demo.example: %+v", found)
	}
	if found = look(url.Values{"name": {"none.demo.example"}}); len(found.Answers) != 1 || found.Answers[0].RCode != "NXDOMAIN" || !found.Answers[0].Negative {
		t.Errorf("NXDOMAIN: %+v", found)
	}
	var asked control.Refreshed
	if err := c.Do(ctx, "POST", "/v1/cache/refresh", control.CacheMatch{Name: "www.demo.example"}, &asked); err != nil || asked.Answers != 1 {
		t.Errorf("refreshed %+v, %v", asked, err)
	}
	await(t, "the refresh is done", func() bool { // else its answer would come after the flush, and be kept
		return p.metric(t, "sdp_cache_refreshes_total") == "1" && p.metric(t, "sdp_in_flight") == "0"
	})
	var gone control.Flushed
	if err := c.Do(ctx, "POST", "/v1/cache/flush", control.CacheMatch{Name: "demo.example", Suffix: true}, &gone); err != nil || gone.Answers != 2 {
		t.Errorf("flushed %+v, %v", gone, err)
	}
	if found = look(url.Values{"all": {"true"}}); len(found.Answers) != 0 {
		t.Errorf("left: %+v", found)
	}
	if p.book.count(`msg="control: command" command="POST /v1/cache/flush"`) != 1 {
		t.Error("the flush is not in the log")
	}
	for _, bad := range []control.CacheMatch{
		{}, {All: true, Name: "a."}, {All: true, Type: "A"}, {Name: "a..b"}, {Name: "a.", Type: "NOTYPE"}, {Name: "a.", Type: "TYPE0"},
	} {
		var refusal *control.Error
		if err := c.Do(ctx, "POST", "/v1/cache/flush", bad, &gone); !errors.As(err, &refusal) || refusal.Status != 400 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := c.Do(ctx, "POST", "/v1/cache/flush", control.CacheMatch{Name: "a.", Pool: "none"}, &gone); err == nil {
		t.Error("a pool that is not there: no error")
	}
	if err := c.Do(ctx, "POST", "/v1/cache/refresh", control.CacheMatch{All: true}, &asked); err == nil {
		t.Error("a refresh of all: no error")
	}
}
