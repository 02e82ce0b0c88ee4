// Package lanetest has what the tests of lanes and drivers share: a worker that is an ordinary goroutine, a certificate authority,
// a recording health reporter, and a check that goroutines and descriptors are gone at the end. Only tests import it.
package lanetest
