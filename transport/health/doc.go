// Package health says whether an upstream is worth asking. One State per upstream is shared by all workers, by the goroutines that own
// its connections and by its prober; it is one state machine, fed by live exchanges, connections and probes alike, and has no socket
// and no clock: the time comes with each event.
//
//	untried ──(first answer)──> up ──(looks wrong)──> suspect ──(wrong after all)──> down
//	                            ^                     │    ^                          │
//	                            ├──(all well again)───┘    │                          │ a good trial
//	                            │                          │                          v
//	                            └──(SlowStart over)── recovering <──(Successes)──── trial ──(a bad trial)──> down
//
//	down, from any state that is used:
//	  - Failures exchanges in a row without an answer, and no answer at all for quietNS
//	  - unanswered exchanges reach Budget percent of those in the Window (at least Samples of them)
//	  - the same with SERVFAIL, NOTIMP and REFUSED counted in. Names can be at fault for these, so where there are probes the upstream
//	    becomes suspect and the probes decide: a good one pardons it for a Window, Failures bad ones in a row take it down
//	  - answers slower than SlowAfter reach SlowPercent of those in the Window: a slow upstream is taken out, not merely marked, for a
//	    client waits as long for it as for a dead one; when nothing better is left it is asked all the same
//	  - Failures bad probes in a row; under Lazy only those between which nothing good came from live traffic
//	  - a failed connection, unless an answer came within recentNS: then it is suspect
//
//	suspect: half of a budget is used, or one failure is missing to the run; it is used like up, and probed
//
// A Down upstream rests. When a rest is over one trial is let through, and the rest doubles from RestMin to RestMax while trials fail or
// the upstream comes and goes. A trial is a live exchange without probes. Active ones decide alone. With Lazy ones a live exchange is risked
// only once in RestMax, so that a probe that is configured wrongly does not keep a good upstream out for ever. A working connection ends the rest;
// it does not end Down, since a server that accepts and never answers would come and go with each connection.
//
// Coming back, the upstream gets a small Share of its usual part first, growing to the whole within SlowStart.
//
// The operator's word (Manual) hides all this but does not stop it: with Auto the state is what was learned meanwhile.
//
// Thread rules: Eligible, Allow, Share, Succeeded, Declined, Failed and Status are for the workers, once per exchange: no lock is ever
// waited for, nothing is allocated, and while all is well next to nothing is written (see window). A change of state takes the mutex if
// it is free; if not, the next event makes the change. All other methods are for ordinary goroutines.
package health
