package policy

import "time"

const (
	// RulesMax bounds the rules of a policy, all chains together. More: Compile refuses. The index has a bit for each rule.
	RulesMax = 1024

	// NodesMax bounds the selectors of one rule, with the all, any and not around them. More: Compile refuses.
	NodesMax = 1024

	// DepthMax bounds how deep matches may be nested: evaluation is recursive. Deeper: Compile refuses.
	DepthMax = 16

	// TagsMax is how many tags there can be: a query's are one word.
	TagsMax = 64

	// SourcesMax bounds the sources that a rate by source knows at a time, per worker. When a bucket of the table is full, the source
	// that has the most tokens left, so has asked least, makes room: it begins anew when it comes back.
	SourcesMax = 1 << 20

	// sourceWays is how many places a source may be in: 64 bytes, one line of memory.
	sourceWays = 4

	// RateMax bounds rates and bursts: what a float32 counts exactly.
	RateMax = 1 << 24

	// editsMax bounds the rules that change the options of one query. More: the query is refused, as one whose options are too long is.
	editsMax = 8

	// DelayMax bounds a delay: clients ask again after some seconds.
	DelayMax = 5 * time.Second

	// textBytesMax is a name as text: each byte may be written as \DDD.
	textBytesMax = 4 * 255

	// labelsMax is how many labels a name can have: RFC 1035 §2.3.4 allows 255 bytes, two for each.
	labelsMax = 127

	// indexMin is how many rules of a chain are worth an index.
	indexMin = 4

	// alternativesMax bounds what a rule is looked for by: more alternatives, or more than RulesMax in a chain, and it is looked at each time.
	alternativesMax = 8

	// axisMin is how many rules of a chain that want something of the same number, or address, are worth an axis.
	axisMin = 4

	// axisSegmentsMax bounds an axis: 128 KiB with RulesMax rules. Longer: there is none, and its selectors are looked at one by one.
	axisSegmentsMax = 1024

	// ladderPrefixesMax bounds an axis of prefixes in the same way: 512 KiB.
	ladderPrefixesMax = 4096

	// ViewsMax bounds the views that rules can name.
	ViewsMax = 64

	// scheduleGrain is how old the time of day may be.
	scheduleGrain = int64(time.Second)
)
