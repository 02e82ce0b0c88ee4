package census

import "time"

const (
	// ways is how many entries a hash can be in: one set.
	ways = 4
	// SourceSets bounds the sources of one tally to 2048: 128 KiB. More: those that ask least are not counted.
	SourceSets = 512
	// ZoneSets bounds the names of one tally to 1024. More: as with sources.
	ZoneSets = 256
	// DepthMin and DepthMax are the labels of the names below which unknown names are counted. Two: registered names, mostly; below a public
	// suffix of two labels three are needed, and operators of zones delegate further. Deeper: counted at the last one.
	DepthMin = 2
	DepthMax = 4
	// zoneNameMax is the longest name that is counted, in bytes of wire form. Longer: not counted at this depth.
	zoneNameMax = 62
	// TypesMax is how many record types can be counted for each source.
	TypesMax = 4
	// Interval is how long a tally counts, if the judge is in time.
	Interval = time.Second
	// registers of a distinct count: a standard error of 1.04/sqrt(64) = 13 %.
	registers = 64
)
