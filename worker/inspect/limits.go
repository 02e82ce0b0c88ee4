package inspect

import (
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

const (
	// BudgetMin and BudgetMax bound how long a question waits for its verdict. Above, clients would notice.
	BudgetMin = 100 * time.Microsecond
	BudgetMax = 100 * time.Millisecond

	// PoolNameMax is the longest name of a pool that fits a question, in bytes. Longer ones are cut.
	PoolNameMax = 64

	// QuestionBytesMax is the longest encoded question.
	QuestionBytesMax = questionHeader + wire.NameBytesMax + PoolNameMax

	// asksMax is how many questions of one worker may wait for a verdict. With more, there is none (Line.Ask says so).
	asksMax = 1024

	// lineAnswerBytes is what a lane needs for asksMax answers, as a power of two.
	lineAnswerBytes = 512 << 10

	// failuresMax failures in a row, and an inspector rests for restTime: questions have no verdict at once, so that neither clients nor a CPU pay for it.
	failuresMax = 8
	restTime    = time.Second

	// logInterval is the least time between two lines about failures.
	logInterval = time.Minute
)

const _ = uint(transport.QueryBytesMax - QuestionBytesMax)
