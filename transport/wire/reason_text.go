package wire

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// Operators give extended errors texts of their own. Such a pair of INFO-CODE and text has a number below those of the reasons, which holds for the life
// of the process: answers that were kept before a reload go on saying what they said.
const (
	textFirst = reasonFirst - TextsMax

	// EDECodeMax is the highest INFO-CODE that an operator may give: what is above are numbers of ours.
	EDECodeMax = textFirst - 1
)

type reasonText struct {
	code uint16
	text string
}

// texts only grows. Readers are the workers, who never wait for anybody.
var texts struct {
	mu   sync.Mutex
	list atomic.Pointer[[]reasonText]
}

// ReasonOf returns the number of an extended error with a text, which stands wherever an INFO-CODE may. Errors: a code above EDECodeMax; a text that is
// empty, not UTF-8, or above EDETextBytesMax; more than TextsMax different ones since the process began.
func ReasonOf(code uint16, text string) (uint16, error) {
	switch {
	case code > EDECodeMax:
		return 0, fmt.Errorf("extended error %d: 0 to %d", code, EDECodeMax)
	case text == "" || len(text) > EDETextBytesMax || !utf8.ValidString(text):
		return 0, fmt.Errorf("a text of %d bytes: 1 to %d, in UTF-8", len(text), EDETextBytesMax)
	}
	texts.mu.Lock()
	defer texts.mu.Unlock()
	var list []reasonText
	if old := texts.list.Load(); old != nil {
		list = *old
	}
	pair := reasonText{code, text}
	at := slices.Index(list, pair)
	if at < 0 {
		if at = len(list); at == TextsMax {
			return 0, fmt.Errorf("is the text number %d since the start, at most %d are kept: restart", at+1, TextsMax)
		}
		list = append(slices.Clip(list), pair)
		texts.list.Store(&list)
	}
	return uint16(textFirst + at), nil
}

// toldText is told for the number of an operator's text.
func toldText(ede uint16) (code uint16, text string) {
	list := texts.list.Load()
	if list == nil || int(ede-textFirst) >= len(*list) {
		return EDEOther, "" // of another process
	}
	pair := &(*list)[ede-textFirst]
	return pair.code, pair.text
}

// Portable is an extended error as another process understands it: without its text.
func Portable(ede uint16) uint16 {
	code, _ := told(ede)
	return code
}
