package admission

import (
	"time"

	"secure-dns-proxy/ring/sys"
)

const (
	// RefusedMax is how many sources are refused something at a time: what a kernel filter has room for. More: the heaviest.
	RefusedMax = sys.SourceDropsMax

	// LookInterval is how often the Controller looks while the worker is busy: a queue that grows by as much as is taken gets 10 ms longer.
	LookInterval = 10 * time.Millisecond

	// TargetMin and TargetMax bound Config.Target: a few batches of the worker, and what a client would notice.
	TargetMin = time.Millisecond
	TargetMax = 100 * time.Millisecond

	// ExemptMax bounds Config.Exempt, which is searched for each heavy source at each look.
	ExemptMax = 64

	// datagramBytes is what a small datagram takes in a socket's queue at least. Cards with buffers of their own take up to five times as
	// much, so that the queue looks longer than it is: it is then held shorter.
	datagramBytes = 768

	// growthWeight is how much of a queue's growth is believed to be datagrams: a third, between loopback's and those of such cards, so that
	// the loop is stable for both.
	growthWeight = 0.3

	// beginFactor times the target is where a queue that does not shrink is an overload: clients that keep many queries outstanding, and
	// lose none, make a queue as well.
	beginFactor = 4

	// pressedLooks is how many looks must find that a queue that is too long did not get shorter: one may follow a pause of the whole machine.
	pressedLooks = 4

	// pauseLooks intervals between two looks are a pause of the worker, not of those who send or ask.
	pauseLooks = 2

	// fullShare is the share of a receive buffer beyond which a queue is too long whatever its delay, goalShare what it is held at.
	fullShare = 0.5
	goalShare = 0.25

	// horizon is in which time a queue that is not at its target is brought there. Longer than a look, as a look's effect is only seen
	// by the next.
	horizon = 80 * time.Millisecond

	// learnTime is the time constant of what is known of the capacity.
	learnTime = 80 * time.Millisecond

	// burstFade is what is still believed to be offered, a look later, of what was offered once, while more waits than should.
	burstFade = 0.9

	// findPace is by how many times its capacity more a second is let in while the worker has room: of a look, half a millisecond of queue if
	// it was too much.
	findPace = 4

	// correctionMost is the largest part of the capacity that is let in less because of what waits already; it then waits for longer than
	// this takes to be corrected.
	correctionMost = 0.9

	// correctionByHand is the same where the worker drops by hand. A queue that grows by more than the worker can read stays full whatever is
	// refused; then something must still be answered.
	correctionByHand = 0.75

	// hold is how long an overload is over before it counts as over.
	hold = 2 * time.Second

	// aloneFor is for how long after another source's datagram the heaviest source is not alone.
	aloneFor = 5 * time.Second

	// drainMost is the part of the capacity that decides who is heavy, however long the queue is.
	drainMost = 0.8

	// fairMin is the least fair share, as a part of capacity. Below it a source is not heavy but one of many.
	fairMin = 1.0 / (2 * RefusedMax)

	// oddsGrain is the least change of a share for which a filter is replaced.
	oddsGrain = 0.01

	// refusedMost keeps a source that floods in sight: some of what it sends is always let through.
	refusedMost = 1 - 1.0/4096

	// attachGrain is how many sources a filter may have to be replaced at every look; the kernel takes some 5 us for each.
	attachGrain = 8

	// MissInterval is how often Misses looks: long enough for its sketches to know who is heavy.
	MissInterval = 100 * time.Millisecond

	// missPressedLooks is how many looks in a row must find no room before questions are shed.
	missPressedLooks = 2

	// missStale is how old the last look may be for the counts since then to be a rate.
	missStale = 2 * time.Second

	// missLearn is the time constant of how many questions are answered a second.
	missLearn = 300 * time.Millisecond

	// occupancyMost is the part of the table of questions under way beyond which there is no room: light clients need the rest.
	occupancyMost = 0.5

	// heavyMax bounds the sources, and the zones, that are shed at a time. More: the heaviest.
	heavyMax = 128

	// heavyLeast is the part of all questions below which a source or zone is one of many.
	heavyLeast = 1.0 / 128

	// blameLeast is the part of an excess that the heavy must account for: with less, it comes from too many to be told apart.
	blameLeast = 0.25

	// backOff is what is let in of that for which there was no room.
	backOff = 0.9

	// farOff is the same while more than farLeast of what was let in found no room: a flood has begun, and light clients lose until it is shed.
	farOff   = 0.6
	farLeast = 0.25

	// lackInBursts is the part of the questions of the last second, about, that found no room, beyond which bursts are an attack, or as bad as one.
	lackInBursts = 0.05

	// lackFade is what still counts after MissInterval of questions that found no room.
	lackFade = 0.9

	// quotaLeast is how many questions somebody may ask between two looks who was not heavy at the last one, however little upstreams can do: the names of a
	// page, for some clients behind one address.
	quotaLeast = 24

	// lackMost is the part of the questions for which there may be no room: they come at random, and where little room is used well some find none.
	lackMost = 0.005

	// nearly is the part of what could be done last that is let in for probeRest; then more is tried, from creep up to leap times more a second.
	nearly    = 0.96
	probeRest = 8 * time.Second
	creep     = 0.02
	leap      = 1.0

	// outageLeast is for how long nothing must be answered: for less, upstreams or this machine have only paused, and what is known of them is good.
	outageLeast = time.Second

	// returnPace is by how many times more a second is let in when upstreams come back from an outage: twice as much at each look.
	returnPace = float64(time.Second / MissInterval)

	// returnLongest is how long that may take: longer than the adaptive limit takes from its least to a thousand exchanges.
	returnLongest = 5 * time.Second

	// queueTarget is by how much more than the least exchange of two windows the least of an interval may take before a queue stands at the upstreams;
	// a quarter of the time where they are far away.
	queueTarget = 10 * time.Millisecond

	// queueWindow is half of how long the least exchange is remembered. Upstreams that have got slower for good look like a queue until then,
	// which costs drainLongest of drainMost after each probe.
	queueWindow = 10 * time.Second

	// drainLongest is for how long less is let in, until a queue has gone.
	drainLongest = 3 * time.Second

	// leastAdmitted is how many questions a second are let in at the least: what recovery is noticed by.
	leastAdmitted = 10
)
