package subnet

const (
	// IPv4BitsMax and IPv6BitsMax bound Spec: an address in full for IPv4, what one site has for IPv6 (RFC 7871 §11.1 recommends 24 and 56).
	IPv4BitsMax = 32
	IPv6BitsMax = 64

	// scopeSets and scopeWays size Scopes: 16,384 questions, 512 KiB, taken as it fills. Full: the one that was used longest ago is forgotten;
	// the answers that were kept for it are found no more, and asked for anew.
	scopeSets = 4096
	scopeWays = 4

	// lengthsMax bounds the prefix lengths that are looked up for one question and family, and with them the cost of a hit. Full: an answer is
	// kept for a longer prefix that is there already, which is right for fewer clients, or else in place of the shortest one.
	lengthsMax = 4

	// NetworksMax is how many answers for networks are kept of one question in each Window (RFC 7871 §11.3): more than there are networks with
	// answers of their own in normal life. Full: further ones are given to their clients and not kept.
	NetworksMax = 4096
	// Window is that time in seconds.
	Window = 60
)
