package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// alerts of a server that say more than that something is wrong (RFC 8446 §6.2, RFC 7301 §3.2, RFC 9849 §11.2).
var alerts = map[tls.AlertError]Cause{
	40:  CauseParameters,        // handshake_failure; TLS 1.2 servers send it for a missing client certificate as well
	42:  CauseClientCertificate, // bad_certificate
	43:  CauseClientCertificate, // unsupported_certificate
	44:  CauseClientCertificate, // certificate_revoked
	45:  CauseClientCertificate, // certificate_expired
	46:  CauseClientCertificate, // certificate_unknown
	48:  CauseClientCertificate, // unknown_ca
	49:  CauseClientCertificate, // access_denied
	70:  CauseVersion,           // protocol_version
	71:  CauseParameters,        // insufficient_security
	112: CauseServerName,        // unrecognized_name
	116: CauseClientCertificate, // certificate_required
	120: CauseALPN,              // no_application_protocol
	121: CauseECH,               // ech_required
}

// causeOfAlert finds an alert by its text, which is all that crypto/tls shows of one that came over TCP.
func causeOfAlert(err error) Cause {
	for alert, cause := range alerts {
		if alert.Error() == err.Error() {
			return cause
		}
	}
	return CauseTLS
}

var advices = map[Cause]string{
	CauseUnknownAuthority:  "set ca_file to the authority that signed it, or pins to the server's key with pin_only = true",
	CauseExpired:           "the server needs a new certificate, or the clock here is wrong",
	CauseWrongName:         "set tls_name to a name in the certificate, if this is the right server",
	CauseCertificate:       "the server needs another certificate",
	CauseALPN:              "is this the right port, and the right scheme in the url?",
	CausePin:               "if the operator of the server announces one of these keys, add it to pins; else somebody is in between",
	CauseECH:               "the server must publish a configuration (ech = \"require\"), or ech_config must hold one that fits; ech = \"auto\" goes on without",
	CauseClientCertificate: "set client_cert_file and client_key_file to a certificate that the server knows and that has not expired",
	CauseVersion:           "compare tls_min_version and tls_max_version with what the server offers",
	CauseParameters:        "compare cipher_suites and groups with what the server offers; some servers mean that they want a client certificate",
	CauseServerName:        "set sni, or tls_name, to the name that the server goes by",
}

// Advice says what an operator can do about the cause; empty where the cause says it all.
func (c Cause) Advice() string { return advices[c] }

// Advised adds advice to the error of a connection that was lost: with TLS 1.3 a server judges a client certificate after the client has
// finished its handshake.
func Advised(err error) error {
	if _, dialed := errors.AsType[*DialError](err); dialed {
		return err // has it already
	}
	if advice := CauseOf(err).Advice(); advice != "" {
		return fmt.Errorf("%w; %s", err, advice)
	}
	return err
}
