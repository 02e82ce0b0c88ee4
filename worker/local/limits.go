package local

const (
	// ZonesMax is how many names a Table can hold: an index of 8 bits. More: New refuses. Some 100 are the package's own.
	ZonesMax = 255
	// TextBytesMax is one <character-string> (RFC 1035 §3.3). Longer: New refuses.
	TextBytesMax = 255

	soaTTL = 10800 // seconds: RFC 6303 §3
	anyTTL = 3600  // RFC 8482 §4.2 leaves it to us; §4.2 advises against short ones
)
