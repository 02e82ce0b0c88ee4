package balance

const second = 1e9 // ns

// Budget grants extra exchanges (retries, hedges) as a percentage of the queries of the last budgetSeconds: when everything fails,
// retries cannot multiply the load. The zero value is ready.
type Budget struct {
	buckets        [budgetSeconds]struct{ queries, spent uint32 }
	queries, spent uint64 // sums over buckets
	second         int64  // of the newest bucket
}

// Count takes in one query.
func (b *Budget) Count(now int64) {
	b.advance(now)
	b.buckets[b.second%budgetSeconds].queries++
	b.queries++
}

// Spend reports whether one more extra exchange is within percent of the queries plus floor a second, and if so counts it.
func (b *Budget) Spend(now int64, percent, floor int) bool {
	b.advance(now)
	if b.spent*100 >= b.queries*uint64(percent)+100*uint64(floor)*budgetSeconds {
		return false
	}
	b.buckets[b.second%budgetSeconds].spent++
	b.spent++
	return true
}

// Return takes back what Spend has just granted, at the same now: nobody was left to be asked.
func (b *Budget) Return() {
	b.buckets[b.second%budgetSeconds].spent--
	b.spent--
}

// advance forgets what is older than the window.
func (b *Budget) advance(now int64) {
	for at := now / second; b.second < at; {
		b.second++
		if at-b.second >= budgetSeconds { // long idle: all of it is old
			b.second = at - budgetSeconds + 1
		}
		old := &b.buckets[b.second%budgetSeconds]
		b.queries -= uint64(old.queries)
		b.spent -= uint64(old.spent)
		old.queries, old.spent = 0, 0
	}
}
