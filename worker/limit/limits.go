package limit

import "time"

const (
	// sets is the size of the table: 262,144 buckets in 4 MiB a worker, mapped and touched only where used. Full: see the package.
	sets = 1 << 16
	ways = 4

	// RateMax bounds rates and bursts: beyond a million a second a bucket is no limit.
	RateMax = 1_000_000

	// WindowMax bounds Config.Window, as in BIND.
	WindowMax = time.Hour

	// SlipMax bounds Config.Slip, as in BIND.
	SlipMax = 10

	// ExemptMax bounds Config.Exempt.
	ExemptMax = 4096

	// offendersMax bounds who is reported by name at a time; further ones are only counted.
	offendersMax = 16

	// quiet is how long nobody must have been refused until it is over.
	quiet = int64(10 * time.Second)

	// look is how often it is found out who that is.
	look = int64(time.Second)

	// nameBytesMax is RFC 1035's.
	nameBytesMax = 255
)
