package appliance

import (
	"crypto/tls"
	"slices"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/trust"
)

// policyOf says what connections to u demand and show. It reads the client certificate.
func policyOf(u *config.Upstream, all config.TLS) (trust.Policy, error) {
	t := u.TLS(all)
	p := trust.Policy{
		Name: u.VerifiedName(), SNI: u.SNI, Roots: t.Roots, Pins: u.Pins,
		MinVersion: t.MinVersion, MaxVersion: t.MaxVersion, CipherSuites: t.CipherSuites, Groups: t.Groups,
	}
	if u.SNI == config.SNIOff {
		p.SNI, p.NoSNI = "", true
	}
	switch {
	case u.InsecureTLS:
		p.Verify = trust.Nothing
	case u.PinOnly:
		p.Verify = trust.PinOnly
	}
	if t.ECH != config.ECHOff {
		p.ECH = trust.NewECH(t.ECH == config.ECHRequire, u.ECHConfig)
	}
	if u.ClientCertFile == "" {
		return p, nil
	}
	var err error
	p.Identity, err = trust.LoadIdentity(u.ClientCertFile, u.ClientKeyFile)
	return p, err
}

// protect puts a policy in force for an endpoint. Secrets go to the file named, if one is.
func (r *roster) protect(e *transport.Endpoint, p trust.Policy, keyLogFile string) error {
	if keyLogFile != "" {
		log, err := r.keyLog(keyLogFile)
		if err != nil {
			return err
		}
		p.KeyLog = log
	}
	if e.Scheme == transport.QUIC {
		p.MinVersion = tls.VersionTLS13 // RFC 9001 §4.2
	}
	client, err := trust.New(p)
	if err != nil {
		return err
	}
	e.Trust, e.TLS = client, client.Config()
	return nil
}

// keyLog returns the open file, which it opens if need be.
func (r *roster) keyLog(path string) (*trust.KeyLog, error) {
	r.keyLogsMu.Lock()
	defer r.keyLogsMu.Unlock()
	for _, log := range r.keyLogs {
		if log.Path == path {
			return log, nil
		}
	}
	log, err := trust.OpenKeyLog(path)
	if err == nil {
		r.keyLogs = append(r.keyLogs, log)
	}
	return log, err
}

// openKeyLogs lists the open files.
func (r *roster) openKeyLogs() []*trust.KeyLog {
	r.keyLogsMu.Lock()
	defer r.keyLogsMu.Unlock()
	return slices.Clone(r.keyLogs)
}

// closeKeyLogs closes all files but one. Connections that still know another write to nowhere.
func (r *roster) closeKeyLogs(except string) {
	r.keyLogsMu.Lock()
	defer r.keyLogsMu.Unlock()
	r.keyLogs = slices.DeleteFunc(r.keyLogs, func(log *trust.KeyLog) bool {
		if log.Path == except {
			return false
		}
		if err := log.Close(); err != nil {
			r.log.Warn("tls key log", "error", err)
		}
		return true
	})
}
