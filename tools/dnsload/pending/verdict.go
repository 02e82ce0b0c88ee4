package pending

// Verdict is what a message turned out to be.
type Verdict uint8

const (
	Answer        Verdict = iota // to an outstanding query, question as sent
	WrongID                      // to no query that is known
	WrongQuestion                // another question than was sent under this id
	WrongCase                    // the question differs from what was sent in the case of letters only
	Malformed                    // no DNS answer: short, QR clear, another opcode
	Late                         // to a query already given up as lost
	Duplicate                    // to a query already answered
	verdicts
)

// Verdicts is the number of verdicts, for tables of counts.
const Verdicts = int(verdicts)

func (v Verdict) String() string {
	return [Verdicts]string{"answer", "wrong id", "wrong question", "wrong case", "malformed", "late", "duplicate"}[v]
}
