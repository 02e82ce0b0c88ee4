package config

import "time"

// Keys of [connection] that one upstream may overrule with a key of the same name.
var paddingKey = integerKey("connection.padding", 0, 512, 128, func(c *Checked) *int { return &c.Connection.Padding }).reload()

// Keys of [timeouts] that one upstream may overrule: dial_timeout and idle_timeout.
var (
	dialKey = durationKey("timeouts.dial", waitMin, waitMax, 1, "2s",
		func(c *Checked) *time.Duration { return &c.Timeouts.Dial }).reload()
	idleKey = durationKey("timeouts.idle", time.Second, time.Hour, 1, "90s",
		func(c *Checked) *time.Duration { return &c.Timeouts.Idle }).reload()
)
