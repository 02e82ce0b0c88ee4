package config

import (
	"net/netip"
	"time"

	"secure-dns-proxy/worker/admission"
)

// Admission says what is done when more arrives than can be answered.
type Admission struct {
	Enabled      bool
	TargetDelay  time.Duration
	Exempt       []netip.Prefix
	ShedMisses   bool
	Shed         admission.Shed
	KernelFilter bool
}

// admissionKeys are the keys of [admission].
var admissionKeys = []key[Admission]{
	booleanKey("enabled", true, func(a *Admission) *bool { return &a.Enabled }).reload(),
	durationKey("target_delay", targetDelayMin, targetDelayMax, 1, "5ms", func(a *Admission) *time.Duration { return &a.TargetDelay }).reload(),
	key[Admission]{
		name: "exempt", standard: "[]", bounds: "0 to 64 of IP or IP/length",
		read: readExempt, get: func(a *Admission) any { return &a.Exempt },
	}.reload(),
	booleanKey("shed_misses", true, func(a *Admission) *bool { return &a.ShedMisses }).reload(),
	choiceKey("shed", "servfail", numbered[admission.Shed](admission.ShedNames[:]), func(a *Admission) *admission.Shed { return &a.Shed }).reload(),
	booleanKey("kernel_filter", true, func(a *Admission) *bool { return &a.KernelFilter }).reload(),
}

func readExempt(c *checker, t *Admission, v value) {
	items, ok := c.oneOrMany(v, exemptMax)
	if !ok {
		return
	}
	t.Exempt = nil
	for _, item := range items {
		if p, ok := c.prefix(item); ok {
			t.Exempt = append(t.Exempt, p)
		}
	}
}
