package rpz

// Action is what becomes of a query that a trigger fits.
type Action uint8

const (
	None     Action = iota // no trigger fits
	NXDomain               // the name does not exist
	NoData                 // it has no records of that type
	Passthru               // no policy for this query
	Drop                   // no reply at all
	TCPOnly                // over UDP: an empty reply with TC
	Local                  // the records of the zone
	actions
)

// Actions is how many there are.
const Actions = int(actions)

// String returns the word in metrics and log lines.
func (a Action) String() string {
	return [...]string{"none", "nxdomain", "nodata", "passthru", "drop", "tcp_only", "local_data"}[a]
}

// Trigger is what a policy is about, in the draft's order of precedence (§5.3).
type Trigger uint8

const (
	ClientIP Trigger = iota
	QName
	IP
	NSDName
	NSIP
	triggers
)

// Triggers is how many there are.
const Triggers = int(triggers)

// String returns the word in metrics and log lines.
func (t Trigger) String() string {
	return [...]string{"client_ip", "qname", "ip", "nsdname", "nsip"}[t]
}

// Override is what an operator puts in place of a zone's own actions.
type Override uint8

const (
	Given            Override = iota // the zone's own
	OverrideNXDomain                 // each trigger of the zone means this
	OverrideNoData
	OverridePassthru
	OverrideDrop
	OverrideTCPOnly
	OverrideCNAME // a CNAME to Policy.CNAME
	Disabled      // counted and logged, not carried out
)

// OverrideNames are the names used in the configuration, by value.
var OverrideNames = [...]string{"given", "nxdomain", "nodata", "passthru", "drop", "tcp_only", "cname", "disabled"}

// actionOf is what o makes of a zone's own action.
func (o Override) actionOf(own Action) Action {
	switch o {
	case OverrideNXDomain:
		return NXDomain
	case OverrideNoData:
		return NoData
	case OverridePassthru:
		return Passthru
	case OverrideDrop:
		return Drop
	case OverrideTCPOnly:
		return TCPOnly
	case OverrideCNAME:
		return Local
	}
	return own
}

// rule is the action of one trigger. data is where its records start, 0: none.
type rule struct {
	action Action
	data   uint32
}
