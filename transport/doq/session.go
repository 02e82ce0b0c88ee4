package doq

import "crypto/tls"

// sessions gives each connection a session state of its own. crypto/tls hands the cached one to everybody, and quic-go (0.65,
// internal/handshake/crypto_setup.go, handleEvent) writes to it while a handshake starts: two dials with one cache are a data race.
type sessions struct{ tls.ClientSessionCache }

// Get returns a copy of what is cached. What cannot be copied is not resumed.
func (s sessions) Get(key string) (*tls.ClientSessionState, bool) {
	cached, ok := s.ClientSessionCache.Get(key)
	if !ok || cached == nil {
		return nil, false
	}
	ticket, state, err := cached.ResumptionState()
	if err != nil || state == nil {
		return nil, false
	}
	encoded, err := state.Bytes()
	if err != nil {
		return nil, false
	}
	own, err := tls.ParseSessionState(encoded)
	if err != nil {
		return nil, false
	}
	session, err := tls.NewResumptionState(ticket, own)
	return session, err == nil
}
