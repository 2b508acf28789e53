#!/usr/bin/env bash
# One would expect: `zig cc`, used as a C compiler for WebAssembly, makes a module that begins with as much memory as clang's
# does, whose linker sets aside 64 KiB for the stack: two pages for a function that needs no memory.
# What happens: the module begins with 257 pages. 16 MiB of them are the stack, as for a native program. A host that makes an
# instance for each call has all of it to map, and to reset if it keeps memories mapped.
# Version: zig 0.17.0 (PyPI).
# Output seen:
#   zig 0.17.0
#   no option: 257 pages at the beginning
#   -Wl,-z,stack-size=65536: 2 pages at the beginning
# Sesame: `sesame plugin build` asks zig for 256 KiB of stack, in C, C++ and Zig (host/author/src/build/c.rs).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export XDG_CACHE_HOME=$work/cache ZIG_GLOBAL_CACHE_DIR=$work/cache/zig
python3 -m venv venv
timeout 300 venv/bin/pip install --quiet --disable-pip-version-check ziglang==0.17.0 || exit 2
zig() { timeout 300 venv/bin/python -m ziglang "$@"; }
echo "zig $(zig version)"
cat >half.c <<'C'
__attribute__((export_name("half"))) int half(int number) { return number / 2; }
C
cat >pages.py <<'PY'
import sys

module = open(sys.argv[1], "rb").read()
at = 8


def number():
    """An unsigned LEB128 at the present place."""
    global at
    value = shift = 0
    while True:
        byte = module[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


while at < len(module):
    section = module[at]
    at += 1
    end = number() + at
    if section == 5:
        memories, limits = number(), number()
        print(number())
        break
    at = end
PY
pages() { # OPTION…
    zig cc -target wasm32-wasi -mexec-model=reactor -Os "$@" -o half.wasm half.c
    python3 pages.py half.wasm
}
default=$(pages)
echo "no option: $default pages at the beginning"
small=$(pages -Wl,-z,stack-size=65536)
echo "-Wl,-z,stack-size=65536: $small pages at the beginning"
[ "$default" = 257 ] && [ "$small" = 2 ]
