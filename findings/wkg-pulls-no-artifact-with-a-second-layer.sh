#!/usr/bin/env bash
# One would expect: wkg pulls the component of an artifact that has a further layer, such as a signature, since a layer of
# another media type is one that a client may ignore.
# What happens: `wkg oci pull` refuses the whole artifact because of the type of the other layer. It also refuses two layers
# of type application/wasm. With the one layer alone it pulls it.
# Version: wkg 0.16.1 (crates.io), with oci-wasm 0.6.
# Output seen:
#   wkg 0.16.1
#   one layer: exit status 0
#   and a signature: exit status 1: Incompatible layer media type: application/pkcs7-signature
#   and a second component: exit status 1: Wasm components must have exactly one layer
# Sesame: a component has a manifest of its own; what belongs to it has another, which refers to the first
# (host/registry/src/layout.rs).
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"
timeout 1200 cargo install --quiet --locked --debug --config 'profile.dev.debug=false' --root "$work" --version 0.16.1 wkg \
    </dev/null || exit 2
cat >registry.py <<'PY'
import hashlib
import http.server
import json

COMPONENT = b"\0asm\x0d\0\x01\0"
OTHER = b"another"


def descriptor(media_type, content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def manifest(*more):
    layers = [descriptor("application/wasm", COMPONENT), *more]
    config = descriptor("application/vnd.wasm.config.v0+json", b"{}")
    kind = "application/vnd.oci.image.manifest.v1+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}).encode()


ANSWERS = {
    "/v2/": b"{}",
    "/v2/test/manifests/one": manifest(),
    "/v2/test/manifests/signed": manifest(descriptor("application/pkcs7-signature", OTHER)),
    "/v2/test/manifests/two": manifest(descriptor("application/wasm", OTHER)),
}
for content in (COMPONENT, OTHER, b"{}"):
    ANSWERS["/v2/test/blobs/" + descriptor("", content)["digest"]] = content


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ANSWERS.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 registry.py >port &
server=$!
while [ ! -s port ]; do sleep 0.1; done
registry=localhost:$(cat port)
echo "$(bin/wkg --version)"
pulled() { # TAG
    local status=0
    timeout 60 bin/wkg oci pull --insecure "$registry" "$registry/test:$1" -o "$1.wasm" >"$1.log" 2>&1 || status=$?
    echo "exit status $status$(grep -o -E 'Incompatible layer.*|Wasm components must.*' "$1.log" | head -n 1 | sed 's/^/: /' || true)"
}
one=$(pulled one)
signed=$(pulled signed)
two=$(pulled two)
echo "one layer: $one"
echo "and a signature: $signed"
echo "and a second component: $two"
[ "$one" = 'exit status 0' ]
[ "$signed" = 'exit status 1: Incompatible layer media type: application/pkcs7-signature' ]
[ "$two" = 'exit status 1: Wasm components must have exactly one layer' ]
