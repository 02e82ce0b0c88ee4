package policy

// kindNames are the names of selectors in the configuration, by value.
var kindNames = [...]string{
	QName: "qname", Suffix: "suffix", InSet: "set", Regex: "regex", Labels: "labels", NameBytes: "name_bytes",
	QType: "qtype", QClass: "qclass", Opcode: "opcode", RD: "rd", DO: "do", CD: "cd",
	EDNS: "edns", EDNSVersion: "edns_version", EDNSOption: "edns_option",
	Source: "source", SourcePort: "source_port", Destination: "destination", DestinationPort: "destination_port",
	TCP: "protocol", Size: "size", Answers: "answers", Authorities: "authorities", Additionals: "additionals", RCode: "rcode",
	Chance: "probability", OverRate: "over_rate", OverSourceRate: "over_source_rate",
	PoolAvailable: "pool_available", PoolOutstanding: "pool_outstanding", Tagged: "tag", Clock: "time",
}

func (k Kind) String() string { return kindNames[k] }

// ofClient reports whether a selector looks at something that belongs to one client.
func (k Kind) ofClient(s *Selector) bool {
	switch k {
	case EDNS, EDNSVersion, EDNSOption, Source, SourcePort, Destination, DestinationPort, TCP, OverSourceRate, Opcode:
		return true
	case InSet:
		return s.Set != nil && s.Set.Set().Kind() == SetPrefixes
	}
	return false
}

// ofQuery reports whether a selector looks at something of a query that is not kept until its answer is told.
func (k Kind) ofQuery() bool {
	switch k {
	case EDNSVersion, EDNSOption, Destination, DestinationPort, Opcode:
		return true
	}
	return false
}

// ofAnswer reports whether a selector needs an answer.
func (k Kind) ofAnswer() bool { return k == RCode || k == Answers || k == Authorities }

// ranges reports whether a selector has Low and High.
func (k Kind) ranges() bool {
	switch k {
	case Labels, NameBytes, EDNSVersion, SourcePort, DestinationPort, Size, Answers, Authorities, Additionals, PoolOutstanding:
		return true
	}
	return false
}

var doNames = [...]string{
	Allow: "allow", Drop: "drop", Answer: "answer", Truncate: "truncate", Route: "pool", Delay: "delay", SkipCache: "skip_cache", Extend: "ede",
	LimitTTL: "ttl", SetTags: "tag", NoRecurse: "no_recurse", NoVerify: "no_validation", Log: "log", Tee: "tee",
	TellSubnet: "client_subnet", SetOption: "set_option", StripOption: "strip_option", Limit: "rate_limit",
}

func (d Do) String() string { return doNames[d] }

// allowed reports whether an action has a meaning in a chain.
func (d Do) allowed(c Chain) bool {
	switch c {
	case ChainTold: // what is kept is there already, and so is what is passed back
		return d != SkipCache && d != StripOption && d.allowed(ChainResponse)
	case ChainMiss:
		return d != Delay
	case ChainResponse:
		switch d {
		case Allow, Drop, Answer, Truncate, SkipCache, Extend, LimitTTL, StripOption, Log:
			return true
		}
		return false
	case ChainOwn:
		switch d {
		case Allow, Drop, Answer, Truncate, Extend, Log:
			return true
		}
		return false
	}
	return true
}
