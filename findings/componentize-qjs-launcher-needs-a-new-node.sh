#!/usr/bin/env bash
# componentize-qjs asks for node 18 and its launcher does not run there.
#
# Expected: `engines` in its package.json says node >= 18, so the command `componentize-qjs` runs with Debian 12's node 18.
# Seen: the launcher is an ES module without an extension, in a package that does not say `"type": "module"`. Node 18 takes it for
#   CommonJS: SyntaxError. The module that it imports, `cli.mjs`, runs with the same node.
# Sesame: `sesame plugin build` calls the `.mjs` module that the package lists (host/author/src/build/node.rs).
#
# Output on 2026-11-28:
#   componentize-qjs 0.4.5, engines >=18.0.0; Debian's node 18.20.4+dfsg-1~deb12u3
#   launcher: status 1, Cannot use import statement outside a module
#   cli.mjs: prints its usage
set -euo pipefail
. "$(dirname "$0")/lib/debian-root"
debian_root nodejs=18.20.4+dfsg-1~deb12u3
npm install --loglevel error --no-audit --no-fund --prefix "$ROOT/p" componentize-qjs@0.4.5 >/dev/null </dev/null || exit 2
package=/p/node_modules/componentize-qjs
# The messages go through a file: in the folder there are no terminals and pipes of this shell to lean on.
status=0
inside node "$package/bin/componentize-qjs" --help >"$ROOT/launcher" 2>&1 || status=$?
inside node "$package/cli.mjs" --help >"$ROOT/module" 2>&1 || true
engines=$(sed -n 's/.*"node": "\(.*\)".*/\1/p' "$ROOT$package/package.json")
echo "componentize-qjs 0.4.5, engines $engines; Debian's node $(debian_version nodejs)"
said=$(grep -o 'Cannot use import statement outside a module' "$ROOT/launcher" | tail -1)
echo "launcher: status $status, $said"
grep -q -- '--stub-wasi' "$ROOT/module" && echo 'cli.mjs: prints its usage'
[ "$status $said" = '1 Cannot use import statement outside a module' ]
