//go:build !wasip1

package sesame

import (
	"fmt"
	"log"
)

// Tables are the lookup tables of a test, by name and key, outside of WebAssembly. TestCases has those of each case here.
var Tables map[string]map[string]Row

func lookup(table, key string) (Row, bool, error) {
	rows, granted := Tables[table]
	if !granted {
		return nil, false, fmt.Errorf("table %q is not granted", table)
	}
	row, found := rows[key]
	return row, found, nil
}

// Outside of WebAssembly, as in `go test`, the plugin's log is that of the standard library.
func writeLog(level Level, text string) {
	log.Printf("%s: %s", [...]string{"trace", "debug", "info", "warn", "error"}[level], text)
}
