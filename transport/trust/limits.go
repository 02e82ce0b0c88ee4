package trust

import "time"

const (
	// sessionsMax is how many TLS sessions are kept for one upstream: one per connection and worker is more than enough. Full: the one
	// used least recently goes.
	sessionsMax = 64

	// seenKeysMax bounds the keys that a pin error lists: a leaf, intermediates, a root. A server may send more; they are left out.
	seenKeysMax = 4

	// echRestFor is how long a server that has securely disabled ECH is not asked again, if its published configuration stays the same.
	echRestFor = time.Hour

	// echListBytesMax bounds a list of ECH configurations; its own length field allows no more. Longer: refused.
	echListBytesMax = 2 + 65535

	// keyFileBytesMax bounds each file of a client certificate. A chain of RSA-4096 certificates takes under 16 KiB. Longer: refused.
	keyFileBytesMax = 1 << 20
)
