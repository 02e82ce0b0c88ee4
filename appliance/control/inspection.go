package control

// Inspection is who looks at questions and answers, and where: GET /v1/inspect. POST /v1/inspect/forget has workers keep none of what it has said.
type Inspection struct {
	Kind   string            `json:"kind"`             // off, wasm or go
	Source string            `json:"source,omitempty"` // the module's file, or the inspector's name
	Points []InspectionPoint `json:"points,omitempty"` // where it is asked
	Kept   uint64            `json:"kept"`             // verdicts that were kept for a while, since the start
}

// InspectionPoint has the figures of one point since the start.
type InspectionPoint struct {
	Point     string `json:"point"`
	Budget    string `json:"budget"`
	OnFailure string `json:"on_failure"`
	Asked     uint64 `json:"asked"`
	Recalled  uint64 `json:"recalled"` // not asked, because a verdict was kept
	Missing   uint64 `json:"missing"`  // without a verdict
	Denied    uint64 `json:"denied"`   // of these, refused
}
