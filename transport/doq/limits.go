package doq

import "time"

const (
	// keepAlive is how often an idle connection shows that it lives: under the 30 s after which middleboxes forget a UDP flow.
	keepAlive = 15 * time.Second

	// maxIdle is how long a connection may hear nothing at all: two keep-alives. Queries notice sooner, by DeadAfter.
	maxIdle = 2 * keepAlive
)
