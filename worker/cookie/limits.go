package cookie

const (
	// SecretsMax bounds the secrets of a Jar: the one in use, the one before, and the one to come, with one to spare. Each is tried on a
	// cookie that none before has made: about 20 ns.
	SecretsMax = 4

	// pastMax and futureMax, in seconds, are how far the time in a cookie may be from ours (RFC 9018 §4.3).
	pastMax   = 3600
	futureMax = 300

	// renewAfter is the age in seconds from which a valid cookie is not given again (RFC 9018 §4.3).
	renewAfter = 1800
)
