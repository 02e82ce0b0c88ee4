package control

import "time"

// Bodies and answers of the commands about the cache:
//
//	GET  /v1/cache?name=&suffix=true&type=&pool=   Cached
//	POST /v1/cache/flush    CacheMatch             Flushed
//	POST /v1/cache/refresh  CacheMatch             Refreshed
//	POST /v1/cache/dump     CacheFile              Dumped
//	POST /v1/cache/load     CacheFile              Loaded

// CacheMatch says which cached answers are meant. Name or All has to be there.
type CacheMatch struct {
	Name   string `json:"name,omitempty"`
	Suffix bool   `json:"suffix,omitempty"` // the names below Name as well
	Type   string `json:"type,omitempty"`   // "": every type
	Pool   string `json:"pool,omitempty"`   // "": every pool
	All    bool   `json:"all,omitempty"`    // every name
}

// Flushed is what a flush has removed.
type Flushed struct {
	Answers  uint64 `json:"answers"`  // one that several workers had counts for each
	Failures uint64 `json:"failures"` // remembered ones: of all names
}

// Refreshed is how many cached answers are asked for again.
type Refreshed struct {
	Answers uint64 `json:"answers"`
}

// Cached is what the caches have.
type Cached struct {
	Answers []CachedAnswer `json:"answers"`
	More    bool           `json:"more"` // than are shown
}

// CachedAnswer is one answer in the cache of one worker.
type CachedAnswer struct {
	Worker     int    `json:"worker"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Flags      string `json:"flags"` // of the query that it answers: some of "rd", "do", "cd"
	Pool       string `json:"pool"`  // "" where a reload has removed it
	RCode      string `json:"rcode"`
	Negative   bool   `json:"negative"`
	Answer     int    `json:"answer"` // records of the sections
	Authority  int    `json:"authority"`
	Additional int    `json:"additional"`
	Bytes      int    `json:"bytes"`
	TTL        int64  `json:"ttl"`  // seconds, when it was stored
	Left       int64  `json:"left"` // seconds; below 0: so long past its TTL
	Popular    bool   `json:"popular"`
}

// CacheFile is where the cache is written to, or read from, by the proxy itself. "": the file of [cache] persist.
type CacheFile struct {
	File string `json:"file,omitempty"`
}

// Dumped is a file that was written.
type Dumped struct {
	File    string        `json:"file"`
	Answers uint64        `json:"answers"` // one that several workers have counts for each
	Bytes   int64         `json:"bytes"`
	Took    time.Duration `json:"took_ns"`
}

// Loaded is what became of the answers in a file.
type Loaded struct {
	File    string `json:"file"`
	Answers uint64 `json:"answers"` // taken; one that was given to several workers counts for each
	Expired uint64 `json:"expired"`
	Known   uint64 `json:"known"`   // a younger answer was there
	Foreign uint64 `json:"foreign"` // of pools that are gone or do not cache, and names that are never cached
	Damaged uint64 `json:"damaged"`
	Warning string `json:"warning,omitempty"` // the file was not read to its end
}
