package main

import (
	"testing"

	"{{name}}/sesame"
)

// TestCases runs the plugin on its test cases outside WebAssembly.
func TestCases(t *testing.T) {
	sesame.TestCases(t, "cases")
}
