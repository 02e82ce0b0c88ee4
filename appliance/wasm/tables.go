package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// checkTables finds tables that could grow beyond what a module may take: wazero has no limit for them. code has been compiled: it is well-formed, and all
// that is done here about damage is not to trip over it.
//
// A module is 8 bytes of magic and version, then sections: an id byte, the length, the content (WebAssembly core specification §5.5.2). The table section, id 4,
// is a vector of: reference type, 0 or 1 for without or with a maximum, minimum, maximum. Numbers are LEB128.
func checkTables(code []byte) error {
	const tableSection = 4
	for rest := code[min(8, len(code)):]; len(rest) != 0; {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return errTables
		}
		content := rest[1+n : 1+n+int(size)]
		rest = rest[1+n+int(size):]
		if id == tableSection {
			return checkTableSection(content)
		}
	}
	return nil
}

var errTables = errors.New("the table section cannot be read")

func checkTableSection(content []byte) error {
	number := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(content)
		if n <= 0 {
			return 0, false
		}
		content = content[n:]
		return v, true
	}
	count, ok := number()
	for i := range count {
		if !ok || len(content) < 2 {
			return errTables
		}
		bounded := content[1]&1 != 0
		content = content[2:]
		if _, ok = number(); !ok {
			return errTables
		}
		if !bounded {
			return fmt.Errorf("table %d has no maximum: at most %d entries are allowed", i, tableEntriesMax)
		}
		most, ok := number()
		if !ok {
			return errTables
		}
		if most > tableEntriesMax {
			return fmt.Errorf("table %d may have %d entries: at most %d are allowed", i, most, tableEntriesMax)
		}
	}
	return nil
}
