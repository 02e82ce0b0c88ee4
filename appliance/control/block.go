package control

import "time"

// Block is a source or a name that is blocked: GET /v1/blocks gives the list.
type Block struct {
	Who     string    `json:"who"` // a prefix, or a name with all below it
	Action  string    `json:"action"`
	Rate    int       `json:"rate,omitempty"` // queries a second, of action limit
	By      string    `json:"by"`             // the rule, or "operator"
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"`  // zero: until it is removed
	Value   float64   `json:"value,omitempty"` // what the rule measured when it found it
	Blocked uint64    `json:"blocked"`         // queries
}

// AddBlock is the command POST /v1/blocks/add.
type AddBlock struct {
	Who    string `json:"who"`              // IP, IP/length, or a name
	Action string `json:"action,omitempty"` // default drop
	Rate   int    `json:"rate,omitempty"`
	For    string `json:"for,omitempty"` // a duration; empty: until it is removed
}

// RemoveBlock is the command POST /v1/blocks/remove.
type RemoveBlock struct {
	Who string `json:"who"`
	For string `json:"for,omitempty"` // how long no rule blocks it again; default 10m
}

// BlockDone is the answer to both.
type BlockDone struct {
	Who string `json:"who"`
}
