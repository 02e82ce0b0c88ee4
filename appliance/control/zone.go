package control

import "time"

// Zone is a response policy zone: GET /v1/zones gives the list, in order.
type Zone struct {
	Name      string         `json:"name"`
	InForce   bool           `json:"in_force"`
	Serial    uint32         `json:"serial"`
	Triggers  map[string]int `json:"triggers,omitempty"` // by kind
	Bytes     int            `json:"bytes"`
	Policy    string         `json:"policy"`          // "given", or what takes the place of the zone's actions
	Source    string         `json:"source"`          // the file, or the primaries
	From      string         `json:"from,omitempty"`  // where what is in force came from: the file, a copy, a primary
	Age       time.Duration  `json:"age_ns"`          // since it was last known to be the newest
	Error     string         `json:"error,omitempty"` // of the last attempt to read or fetch it, if that failed
	ErrorTime time.Time      `json:"error_time,omitzero"`
	Hits      uint64         `json:"hits"` // those of disabled zones included
}

// ZoneHit is a trigger that fits a name or an address: GET /v1/zones/lookup?what= gives the list, in order of the zones.
type ZoneHit struct {
	Zone    string `json:"zone"`
	Trigger string `json:"trigger"` // its kind
	Owner   string `json:"owner"`   // its name in the zone
	Action  string `json:"action"`  // "disabled" where the zone is
	Counts  bool   `json:"counts"`  // of triggers that are known before anybody is asked, the first whose zone is not disabled
	Later   bool   `json:"later"`   // unless an answer brings an earlier zone's trigger into play
}

// RefreshZones is the command POST /v1/zones/refresh: zones that come from primaries ask them at once, files are read again.
type RefreshZones struct {
	Name string `json:"name,omitempty"`
	All  bool   `json:"all,omitempty"`
}

// ZonesRefreshed is the answer.
type ZonesRefreshed struct {
	Read   []string `json:"read,omitempty"`   // from their files
	Asking []string `json:"asking,omitempty"` // their primaries: what comes of that is in the log, and in the list
}
