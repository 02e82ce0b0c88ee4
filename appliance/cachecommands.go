package appliance

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/appliance/persist"
	"secure-dns-proxy/worker"
)

// handleCache adds the commands about the cache.
func (s *service) handleCache() {
	s.control.Handle("GET /v1/cache", func(ctx context.Context, r *control.Request) (any, error) {
		below, err := strconv.ParseBool(r.Query("suffix"))
		if r.Query("suffix") != "" && err != nil {
			return nil, control.Mistake("suffix: %q is neither true nor false", r.Query("suffix"))
		}
		m := control.CacheMatch{Name: r.Query("name"), Suffix: below, Type: r.Query("type"), Pool: r.Query("pool"), All: r.Query("all") == "true"}
		return s.lookAtCache(ctx, &m)
	})
	s.control.Handle("POST /v1/cache/flush", onCache(func(ctx context.Context, m worker.CacheMatch) (any, error) {
		out, err := s.group.Flush(ctx, m)
		return control.Flushed{Answers: out.Answers, Failures: out.Failures}, err
	}))
	s.control.Handle("POST /v1/cache/refresh", onCache(func(ctx context.Context, m worker.CacheMatch) (any, error) {
		if m.Name == nil || m.Below {
			return nil, control.Mistake("a refresh takes one name")
		}
		n, err := s.group.Refresh(ctx, m)
		return control.Refreshed{Answers: n}, err
	}))
}

// handleFiles adds the commands about the file of the cache.
func (s *service) handleFiles() {
	s.control.Handle("POST /v1/cache/dump", s.keeper.onFile(func(ctx context.Context, file string) (any, error) {
		d, err := s.keeper.dump(ctx, file)
		return control.Dumped{File: file, Answers: d.answers, Bytes: d.bytes, Took: d.took}, err
	}))
	s.control.Handle("POST /v1/cache/load", s.keeper.onFile(func(ctx context.Context, file string) (any, error) {
		r, err := s.keeper.load(ctx, file)
		out := control.Loaded{File: file, Answers: r.Answers, Expired: r.Expired, Known: r.Known, Foreign: r.Foreign, Damaged: r.Damaged}
		if d := new(persist.Damage); errors.As(err, &d) && d.Records > 0 {
			out.Warning, err = err.Error(), nil // what came before is good
		}
		return out, err
	}))
}

// onFile is a command whose argument is a control.CacheFile.
func (k *keeper) onFile(do func(context.Context, string) (any, error)) control.Handler {
	return func(ctx context.Context, r *control.Request) (any, error) {
		var f control.CacheFile
		if err := r.Decode(&f); err != nil {
			return nil, err
		}
		switch standard, _ := k.settings(); {
		case f.File == "" && standard == "":
			return nil, control.Mistake("which file? None is configured (cache.persist)")
		case f.File == "":
			f.File = standard
		case !filepath.IsAbs(f.File):
			return nil, control.Mistake("%q is not an absolute path", f.File)
		}
		return do(ctx, f.File)
	}
}

// onCache is a command whose argument is a control.CacheMatch.
func onCache(do func(context.Context, worker.CacheMatch) (any, error)) control.Handler {
	return func(ctx context.Context, r *control.Request) (any, error) {
		var text control.CacheMatch
		if err := r.Decode(&text); err != nil {
			return nil, err
		}
		m, err := cacheMatch(&text)
		if err != nil {
			return nil, err
		}
		return do(ctx, m)
	}
}

// cacheMatch gives the operator's words their meaning.
func cacheMatch(t *control.CacheMatch) (m worker.CacheMatch, err error) {
	switch {
	case t.All && (t.Name != "" || t.Suffix):
		return m, control.Mistake("all names, or one: not both")
	case !t.All && t.Name == "":
		return m, control.Mistake("which name? All of them takes \"all\"")
	case t.Type != "" && t.All:
		return m, control.Mistake("a type needs a name; the root and all below it are name \".\" with suffix")
	case !t.All:
		if m.Name, err = typedName(t.Name); err != nil {
			return m, err
		}
		m.Below = t.Suffix
	}
	m.Pool = t.Pool
	if t.Type != "" {
		n, ok := typeNumber(t.Type)
		if !ok {
			return m, control.Mistake("%q is not a record type", t.Type)
		}
		m.Type = n
	}
	return m, nil
}

// typedName packs a name as an operator writes it.
func typedName(name string) ([]byte, error) {
	if _, ok := dns.IsDomainName(name); !ok {
		return nil, control.Mistake("%q is not a name", name)
	}
	return wireName(strings.ToLower(dns.Fqdn(name))), nil
}

// typeNumber knows "AAAA" and "TYPE28" (RFC 3597 §5).
func typeNumber(text string) (uint16, bool) {
	text = strings.ToUpper(text)
	if n, ok := dns.StringToType[text]; ok {
		return n, n != dns.TypeNone
	}
	digits, ok := strings.CutPrefix(text, "TYPE")
	n, err := strconv.ParseUint(digits, 10, 16)
	return uint16(n), ok && err == nil && n != 0
}

func (s *service) lookAtCache(ctx context.Context, text *control.CacheMatch) (any, error) {
	m, err := cacheMatch(text)
	if err != nil {
		return nil, err
	}
	list, more, err := s.group.Look(ctx, m)
	if err != nil {
		return nil, err
	}
	out := control.Cached{Answers: []control.CachedAnswer{}, More: more}
	for i := range list {
		out.Answers = append(out.Answers, cachedAnswer(&list[i]))
	}
	return out, nil
}

func cachedAnswer(a *worker.CachedAnswer) control.CachedAnswer {
	name, _, err := dns.UnpackDomainName(a.Name, 0)
	if err != nil {
		name = strconv.Quote(string(a.Name))
	}
	rcode, known := dns.RcodeToString[int(a.RCode)]
	if !known {
		rcode = "RCODE" + strconv.Itoa(int(a.RCode))
	}
	var flags []string
	for _, f := range []struct {
		set  bool
		name string
	}{{a.RD, "rd"}, {a.DO, "do"}, {a.CD, "cd"}} {
		if f.set {
			flags = append(flags, f.name)
		}
	}
	return control.CachedAnswer{
		Worker: a.Worker, Name: name, Type: dns.Type(a.Type).String(), Flags: strings.Join(flags, " "), Pool: a.Pool, RCode: rcode,
		Negative: a.Negative, Answer: int(a.AN), Authority: int(a.NS), Additional: int(a.AR), Bytes: a.Bytes,
		TTL: int64(a.TTL.Seconds()), Left: int64((a.TTL - a.Age).Seconds()), Popular: a.Popular,
	}
}
