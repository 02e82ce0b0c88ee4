package rpz

import (
	"time"

	"secure-dns-proxy/worker/rpz"
)

const (
	// ZonesMax and tagsMax are those of worker/rpz. More names than tagsMax in the life of a process: a restart is needed, and said.
	ZonesMax = rpz.ZonesMax
	tagsMax  = rpz.TagsMax

	// PrimariesMax is how many primaries a zone may have; they are tried in turn.
	PrimariesMax = 8

	// triggersMax is how many triggers a zone may have: at some 40 to 110 bytes each, half a GiB to 1.8 GiB. More: the zone is refused.
	triggersMax = 16 << 20

	// stepsMax bounds the records of one transfer: all of a zone of triggersMax, taken out and put in. More: the transfer has failed.
	stepsMax = 2*triggersMax + 1000

	// lookInterval is how often it is looked whether a file has changed, and hits are collected for the log: their journals hold as many as
	// are logged in that time at most.
	lookInterval = 100 * time.Millisecond

	// settleTime is how long a file must have been left alone before it is read: whoever writes it may be in the middle.
	settleTime = time.Second

	dialTimeout = 5 * time.Second
	// messageTimeout is how long a primary may take for one message of a transfer: it may have to read a zone from its disk for the first one.
	messageTimeout = 30 * time.Second
	// transferTimeout is how long a transfer may take in all: 16 million records at 20,000 a second.
	transferTimeout = 15 * time.Minute

	// notifyPause is the least time between two refreshes that NOTIFYs cause; those in between are answered, and one refresh is made up for all.
	notifyPause = time.Second

	// notifyConnsMax and notifyTimeout bound what the listener for NOTIFY holds over TCP. Full: connections wait.
	notifyConnsMax = 32
	notifyTimeout  = 5 * time.Second

	// unsignedMax is how many messages in a row may come without a signature of their own: RFC 8945 §5.3.1.
	unsignedMax = 99

	// complaintsMax is how many records that are no policies are named in the log for one load; the rest is counted.
	complaintsMax = 5

	// LogRateMax bounds rpz.log_rate.
	LogRateMax = 1000
)
