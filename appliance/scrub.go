package appliance

import (
	"fmt"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/worker/synth"
)

// translation is DNS64 as workers want it; nil if it is off.
func translation(c *config.DNS64) *synth.DNS64 {
	if !c.Prefix.IsValid() {
		return nil
	}
	d, err := synth.NewDNS64(c.Prefix, c.Exclude)
	if err != nil {
		panic(fmt.Sprintf("appliance: the prefix was checked: %v", err))
	}
	return d
}

// rebinding is the protection against it as workers want it; nil if it is off.
func rebinding(c *config.Rebinding) *synth.Rebinding {
	if c.Action == config.RebindingOff {
		return nil
	}
	var allowed [][]byte
	for _, name := range c.Allowed {
		allowed = append(allowed, wireName(name))
	}
	r, err := synth.NewRebinding(c.Action == config.RebindingRefused, c.Addresses, allowed)
	if err != nil {
		panic(fmt.Sprintf("appliance: the names were checked: %v", err))
	}
	return r
}
