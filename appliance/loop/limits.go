package loop

import "time"

const (
	// look is how often it is looked whether a beacon has come back, and whether a check is due.
	look = 500 * time.Millisecond
	// retry is how soon an upstream that is kept out of use is checked again, if the interval is not shorter.
	retry = 30 * time.Second
	// patience is what an answer may take. It is not needed: the beacon may come back without, and later.
	patience = 3 * time.Second
	// closeTimeout bounds the end of a connection.
	closeTimeout = time.Second

	udpBytes = 1232
)
