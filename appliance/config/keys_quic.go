package config

import (
	"slices"
	"time"

	"secure-dns-proxy/transport"
)

// quicVersions by the names that RFC 9000 and RFC 9369 give them.
var quicVersions = []choice[transport.QUICVersion]{{"1", transport.QUICv1}, {"2", transport.QUICv2}}

const quicVersionsText = `1 or 2 of "1" and "2"`

// Keys of [quic] that one upstream may overrule.
var (
	quicVersionsKey = key[Checked]{
		name: "quic.versions", standard: `["1"]`, bounds: quicVersionsText,
		read: readQUICVersions, get: func(c *Checked) any { return &c.QUIC.Versions },
	}.reload()
	earlyDataKey  = booleanKey("quic.early_data", false, func(c *Checked) *bool { return &c.QUIC.EarlyData }).reload()
	maxStreamsKey = integerKey("quic.max_streams", 1, transport.QUICStreamsMax, transport.QUICStreamsDefault,
		func(c *Checked) *int { return &c.QUIC.MaxStreams }).reload()
	keepAliveKey = durationKey("quic.keep_alive", 0, time.Minute, 1, durationText(transport.QUICKeepAliveDefault),
		func(c *Checked) *time.Duration { return &c.QUIC.KeepAlive }).reload()
)

// Keys of [quic] that hold for all.
var (
	quicIdleKey = durationKey("quic.max_idle", time.Second, 10*time.Minute, 1, durationText(transport.QUICMaxIdleDefault),
		func(c *Checked) *time.Duration { return &c.QUIC.MaxIdle }).reload()
	streamWindowKey = sizeKey("quic.stream_window", transport.QUICStreamWindowDefault, 16<<20, sizeText(transport.QUICStreamWindowDefault),
		func(c *Checked) *int { return &c.QUIC.StreamWindow }).reload()
	connectionWindowKey = sizeKey("quic.connection_window", 0, transport.QUICWindowMax, "0",
		func(c *Checked) *int { return &c.QUIC.ConnectionWindow }).reload()
)

// upstreamQUICKeys are what [[upstream]] says about QUIC.
var upstreamQUICKeys = []key[Upstream]{
	ownKey("quic_versions", quicVersionsKey, func(u *Upstream) **[]transport.QUICVersion { return &u.QUICVersions }),
	ownKey("quic_early_data", earlyDataKey, func(u *Upstream) **bool { return &u.QUICEarlyData }),
	ownKey("quic_max_streams", maxStreamsKey, func(u *Upstream) **int { return &u.QUICMaxStreams }),
	ownKey("quic_keep_alive", keepAliveKey, func(u *Upstream) **time.Duration { return &u.QUICKeepAlive }),
}

func readQUICVersions(c *checker, t *Checked, v value) {
	items, ok := c.oneOrMany(v, len(quicVersions))
	if !ok {
		return
	}
	if len(items) == 0 {
		c.fault(v, "is empty: at least one version is needed")
	}
	t.QUIC.Versions = nil
	for _, item := range items {
		name, ok := c.text(item)
		if !ok {
			continue
		}
		i := slices.IndexFunc(quicVersions, func(known choice[transport.QUICVersion]) bool { return known.text == name })
		switch {
		case i < 0:
			c.fault(item, "%q is not a version of QUIC that is known here: %s", name, quicVersionsText)
		case slices.Contains(t.QUIC.Versions, quicVersions[i].means):
			c.fault(item, "%q is listed twice", name)
		default:
			t.QUIC.Versions = append(t.QUIC.Versions, quicVersions[i].means)
		}
	}
}

// QUIC is how connections over QUIC are used, where the upstream itself says nothing else.
type QUIC struct {
	Versions         []transport.QUICVersion
	EarlyData        bool
	MaxStreams       int
	KeepAlive        time.Duration // 0 = none
	MaxIdle          time.Duration
	StreamWindow     int
	ConnectionWindow int // 0 = enough for MaxStreams of the longest answers
}

// QUIC returns how the QUIC connections to u are used, given what holds for all.
func (u *Upstream) QUIC(all QUIC) QUIC {
	choose(&all.Versions, u.QUICVersions)
	choose(&all.EarlyData, u.QUICEarlyData)
	choose(&all.MaxStreams, u.QUICMaxStreams)
	choose(&all.KeepAlive, u.QUICKeepAlive)
	return all
}

// quic checks what [quic] and upstreams say together.
func (c *checker) quic(out *Checked) {
	check := func(at func(own, all string) value, q QUIC) {
		if q.KeepAlive >= q.MaxIdle {
			c.fault(at("quic_keep_alive", "quic.keep_alive"), "%s is not less than quic.max_idle (%s): the connection would have ended before",
				durationText(q.KeepAlive), durationText(q.MaxIdle))
		}
		if low := q.MaxStreams * transport.QUICStreamWindowMin; q.ConnectionWindow != 0 && q.ConnectionWindow < low {
			c.fault(c.written("quic.connection_window"), "%d bytes for %d streams: with less than %d an answer could wait for others to be read; 0 is as much as needed",
				q.ConnectionWindow, q.MaxStreams, low)
		}
	}
	before := len(c.problems)
	check(func(_, all string) value { return c.anyOf(all, "quic.max_idle") }, out.QUIC)
	if c.problems[before:].Broken() {
		return
	}
	for i := range out.Upstreams {
		u := &out.Upstreams[i]
		check(func(own, _ string) value {
			entry := c.entryOf(u)
			if table, isTable := entry.data.(map[string]any); isTable && table[own] != nil {
				return entry.field(own, table[own])
			}
			return entry
		}, u.QUIC(out.QUIC))
	}
}

// fitQUIC refuses what has no effect on an upstream that does not use QUIC, or not for DNS itself.
func (u *Upstream) fitQUIC(idle func(name, why string)) {
	switch {
	case u.Scheme == "quic" || u.Scheme == "embedded":
	case u.Scheme == "h3" || u.HTTP() && u.HTTP3 != "off":
		idle("quic_early_data", "it is for quic:// only")
		idle("quic_max_streams", "HTTP/3 has limits of its own")
	default:
		for _, k := range upstreamQUICKeys {
			idle(k.name, "it does not use QUIC")
		}
	}
}
