//go:build !wasip1

package sesame

import "log"

// Outside of WebAssembly, as in `go test`, the plugin's log is that of the standard library.
func writeLog(level Level, text string) {
	log.Printf("%s: %s", [...]string{"trace", "debug", "info", "warn", "error"}[level], text)
}
