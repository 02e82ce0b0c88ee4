package worker

import (
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cookie"
	"secure-dns-proxy/worker/inflight"
)

// Cookies is what an operator decides about cookies of clients (RFC 7873).
type Cookies struct {
	Enabled bool
	Secrets []cookie.Secret // see cookie.Jar; none: a random one for as long as the process lives
}

// jar returns what makes and checks cookies, nil if there are none. instead is the secret to use where none is configured.
func (s *Snapshot) jar(instead cookie.Secret) (*cookie.Jar, error) {
	switch {
	case !s.Cookies.Enabled:
		return nil, nil
	case len(s.Cookies.Secrets) == 0:
		return cookie.New([]cookie.Secret{instead})
	}
	return cookie.New(s.Cookies.Secrets)
}

// asked is what the options of a client's query ask of the reply.
type asked struct {
	cookie     inflight.Cookie
	marks      inflight.Marks
	hasNetwork bool // network is what it sent as its own (RFC 7871), where that is looked at
	network    wire.Subnet
	tags       uint64 // that rules have given the query
}

// proven reports whether its sender receives what is sent to the address that it comes from.
func (a *asked) proven() bool { return a.marks&inflight.Proven != 0 }

// CookieVerdict says what a client's cookie is worth.
type CookieVerdict uint8

const (
	// CookieNew has no server's part yet.
	CookieNew CookieVerdict = iota
	// CookieValid proves that the query comes from the address that it seems to come from.
	CookieValid
	// CookieInvalid is another server's, forged, or too old.
	CookieInvalid
	cookieVerdicts
)

// CookieVerdicts is how many there are: Stats.Cookies is indexed by CookieVerdict.
const CookieVerdicts = int(cookieVerdicts)

// String returns the value of the `cookie` label in metrics.
func (v CookieVerdict) String() string { return [...]string{"new", "valid", "invalid"}[v] }

// heed reads the options of the query in hand: what they ask of the reply is in w.asked, the reply's options in w.client. A malformed cookie
// becomes the query's fault unless it has one.
func (w *worker) heed(l *lookup, from *origin) {
	if l.query.Version != 0 {
		return // what the options mean is that version's business
	}
	asked, fault := l.query.Asked()
	if asked.NSID && w.active.nsid != "" {
		w.asked.marks = inflight.AsksWho
	}
	var server []byte
	if w.active.jar != nil {
		if fault != wire.FaultNone && (l.fault == wire.FaultNone || l.query.NoQuestion) {
			l.fault = fault
		}
		if asked.Client != nil {
			server = w.meet(&asked, from)
		}
	}
	w.client.Options = w.replyOptions(from, server)
}

// meet checks a client's cookie. A valid one is given again until it is half an hour old: then its server's part is returned.
func (w *worker) meet(asked *wire.Asked, from *origin) (again []byte) {
	a := &w.asked.cookie
	*a = inflight.Cookie{Client: cookie.Client(asked.Client), Stamp: w.unix()}
	if asked.Server == nil {
		w.stats.Cookies[CookieNew]++
		return nil
	}
	valid, fresh := w.active.jar.Check(&a.Client, asked.Server, from.path, a.Stamp)
	if !valid {
		w.stats.Cookies[CookieInvalid]++
		return nil
	}
	w.asked.marks |= inflight.Proven
	w.stats.Cookies[CookieValid]++
	if !fresh {
		return nil
	}
	a.Stamp = cookie.Stamp(asked.Server)
	return asked.Server
}

// replyOptions writes the options that w.asked asks for; they are valid until the next call. server is the server's part of the cookie if it is
// known, else it is made.
func (w *worker) replyOptions(to *origin, server []byte) []byte {
	options := w.options[:0]
	if c := &w.asked.cookie; c.Stamp != 0 && w.active.jar != nil { // they may have been switched off while the client waited
		var made cookie.Server
		if server == nil {
			w.active.jar.Make(&made, &c.Client, to.path, c.Stamp)
			server = made[:]
		}
		options = wire.AppendCookie(options, &c.Client, (*cookie.Server)(server))
	}
	if w.asked.marks&inflight.AsksWho != 0 {
		options = wire.AppendNSID(options, w.active.nsid)
	}
	return options
}

// unix is the time in cookies, at most a second late.
func (w *worker) unix() uint32 {
	if w.now >= w.wallAgain {
		w.wallSeconds, w.wallAgain = uint32(w.wall()), w.now+int64(time.Second)
	}
	return w.wallSeconds
}
