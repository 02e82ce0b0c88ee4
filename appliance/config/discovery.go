package config

// discovery checks the settings for Discovery of Designated Resolvers (RFC 9462).
func (c *checker) discovery(u *Upstream, table value, idle func(name, why string)) {
	if !u.Designates() {
		for _, name := range []string{"ddr_opportunistic", "ddr_downgrade"} {
			idle(name, "ddr is off")
		}
		return
	}
	at := func(name string) value { return table.field(name, nil) }
	switch {
	case u.Scheme != "udp" && u.Scheme != "tcp":
		c.fault(at("ddr"), "has no effect on %s: it is no plain resolver", u.URL)
		return
	case u.Name():
		c.fault(at("ddr"), "%s: the host must be an IP address: the certificate of the designated resolver has to be valid for it (RFC 9462 §4.2)", u.URL)
	case u.DDR == DDRRequire && u.DDRDowngrade:
		c.fault(at("ddr_downgrade"), "contradicts ddr = %q", DDRRequire)
	}
	for _, name := range []string{"tls_name", "sni"} {
		idle(name, "the designation says the name")
	}
	for _, name := range []string{"insecure_tls", "pin_only"} {
		idle(name, "a designated resolver is verified by its certificate, or see ddr_opportunistic")
	}
	for _, name := range []string{"ech", "ech_config"} {
		idle(name, "the name of a designated resolver is sent in the clear by whoever designates it")
	}
}
