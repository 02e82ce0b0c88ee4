package transport

import "crypto/tls"

// quicSessions is a view of a session cache for QUIC handshakes.
type quicSessions struct{ cache tls.ClientSessionCache }

// QUICSessions returns a view of cache, which may be nil, for connections over QUIC. Each connection gets a session state of its own: crypto/tls
// hands the cached one to everybody, and quic-go (0.65, internal/handshake/crypto_setup.go, handleEvent) writes to it while a handshake
// starts: two dials with one cache are a data race. Sessions of TLS over TCP with the same server are kept apart.
func QUICSessions(cache tls.ClientSessionCache) tls.ClientSessionCache {
	if cache == nil {
		return nil
	}
	return quicSessions{cache}
}

// quicPrefix cannot begin a server name.
const quicPrefix = "quic "

// Put stores a session, or removes one if it is nil.
func (s quicSessions) Put(key string, session *tls.ClientSessionState) {
	s.cache.Put(quicPrefix+key, session)
}

// Get returns a copy of what is cached. What cannot be copied is not resumed.
func (s quicSessions) Get(key string) (*tls.ClientSessionState, bool) {
	cached, ok := s.cache.Get(quicPrefix + key)
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
