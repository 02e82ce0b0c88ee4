package config

import "time"

// Keys of [connection] that one upstream may overrule with a key of the same name.
var (
	paddingKey    = integerKey("connection.padding", 0, 512, 128, func(c *Checked) *int { return &c.Connection.Padding }).reload()
	maxQueriesKey = integerKey("connection.max_queries", 0, 1_000_000_000, 0,
		func(c *Checked) *int { return &c.Connection.MaxQueries }).reload()
	maxAgeKey = durationKey("connection.max_age", 0, secondsMax, 1, "1h",
		func(c *Checked) *time.Duration { return &c.Connection.MaxAge }).reload()
	ednsKeepaliveKey = booleanKey("connection.edns_keepalive", true, func(c *Checked) *bool { return &c.Connection.EDNSKeepalive }).reload()
	fastOpenKey      = booleanKey("connection.fast_open", false, func(c *Checked) *bool { return &c.Connection.FastOpen }).reload()
)

// Keys of [timeouts] that one upstream may overrule: dial_timeout and idle_timeout.
var (
	dialKey = durationKey("timeouts.dial", waitMin, waitMax, 1, "2s",
		func(c *Checked) *time.Duration { return &c.Timeouts.Dial }).reload()
	idleKey = durationKey("timeouts.idle", time.Second, time.Hour, 1, "90s",
		func(c *Checked) *time.Duration { return &c.Timeouts.Idle }).reload()
)

// fitStream refuses keys that are for connections over TCP.
func (u *Upstream) fitStream(idle func(name, why string)) {
	if u.Scheme == "quic" || u.HTTP() {
		idle("edns_keepalive", "only for connections over tcp and tls")
	}
	if u.Scheme == "quic" || u.Scheme == "h3" {
		idle("fast_open", "it does not use TCP")
	}
}
