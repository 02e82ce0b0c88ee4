package transport

import "time"

// Base is the zero of every monotonic time in the process: a time is time.Since(Base) and fits a time.Duration.
var Base = time.Now()

// Now returns the time since Base.
func Now() time.Duration { return time.Since(Base) }

// Unix returns the wall clock's time in Unix seconds, for what is shared with other machines.
func Unix() int64 { return time.Now().Unix() }
