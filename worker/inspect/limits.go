package inspect

import (
	"time"

	"secure-dns-proxy/transport/wire"
)

const (
	// BudgetMin and BudgetMax bound how long a question waits for its verdict. Above, clients would notice.
	BudgetMin = 100 * time.Microsecond
	BudgetMax = 100 * time.Millisecond

	// PoolNameMax is the longest name of a pool that fits a question, in bytes. Longer ones are cut.
	PoolNameMax = 64

	// TagsMax is how many tags an inspector can know.
	TagsMax = 8

	// RecordsBytesMax bounds the records of an answer that are shown, with their headers: 170 A records. More: Question.Cut says so.
	RecordsBytesMax = 2048

	// QuestionBytesMax is the longest encoded question.
	QuestionBytesMax = questionHeader + wire.NameBytesMax + PoolNameMax + RecordsBytesMax

	// asksMax is how many questions of one worker may wait for a verdict. With more, there is none (Line.Ask says so).
	asksMax = 1024

	// lineAskBytes is room for 200 of the longest questions, or all of asksMax without answers. Full: as above.
	lineAskBytes = 512 << 10

	// lineAnswerBytes is what a lane needs for asksMax answers, as a power of two.
	lineAnswerBytes = 512 << 10

	// KeptMin and KeptMax bound the verdicts that a worker may keep, of 32 bytes each; keptWays is how many of them share a set. Full: see Kept.
	KeptMin  = 64
	KeptMax  = 1 << 20
	keptWays = 4

	// keptKeyMax is all that a verdict can depend on: kind, point, type, client, pool, name.
	keptKeyMax = 1 + 1 + 2 + 16 + 1 + PoolNameMax + wire.NameBytesMax

	// failuresMax failures in a row, and an inspector rests for restTime: questions have no verdict at once, so that neither clients nor a CPU pay for it.
	failuresMax = 8
	restTime    = time.Second

	// logInterval is the least time between two lines about failures.
	logInterval = time.Minute
)
