package rpz

const (
	// ZonesMax is how many zones a Set may hold: one bit each in masks. BIND has the same limit. More: NewSet refuses.
	ZonesMax = 32

	// TagsMax is how many names zones may have had in the life of a process: twice ZonesMax, so that a reload can rename all of them.
	TagsMax = 2 * ZonesMax

	// RecordsMax is how many records of local data one trigger may have: a reply of 64 KiB holds few more. More: Add refuses the record.
	RecordsMax = 256

	// bytesMax is what the names or the data of one zone may take: offsets have 32 bits. More: Add refuses the record.
	bytesMax = 1<<32 - 1<<16

	// chainMax is how many names of a CNAME chain are looked at, as many as resolvers follow. A longer chain is judged by its last record.
	chainMax = 16

	// aliasesMax is how many CNAMEs of an answer are looked at to find its chain, serversMax how many name servers, and gluesMax how many of their addresses that
	// have a trigger: an answer of 64 KiB must not take long each time that it is asked for. Resolvers pass on no more than that by themselves. More:
	// the answer is judged by the first ones.
	aliasesMax = 256
	serversMax = 32
	gluesMax   = 32

	// labelsMax is how many labels a name can have: RFC 1035 §2.3.4 allows 255 bytes, two for each, and one for the root.
	labelsMax = 127

	nameBytesMax = 255 // RFC 1035 §2.3.4

	// AnswerBytesMax is the room for an answer that is made here: a CNAME chain, and the records of a trigger. What does not fit is left out and told
	// with TC.
	AnswerBytesMax = 60 << 10

	// JournalMax is how many hits of one worker wait to be logged. Full: counted, not logged.
	JournalMax = 64

	// compactFraction of a zone's bytes may be of triggers that have gone before the zone is made anew: a quarter.
	compactFraction = 4

	slotsMin = 16

	// overrideTTL is the TTL, in seconds, of the CNAME that an operator has put in place of a zone's actions: BIND's.
	overrideTTL = 5
)
