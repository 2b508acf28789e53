#!/usr/bin/env bash
# argo-ams-library takes no port in its endpoint where it has to fetch a token: the API must be at port 443.
#
# Expected: `endpoint` names the API, and `authn_port` the port of the authentication service. An endpoint with a port
#   works with a token, so it works with a certificate too.
# Seen: argo-ams-library 1.0.0 puts `authn_port` after the endpoint as it is. The address for the token then has two
#   ports, so no request leaves, and the error is that of a lost connection. Without a port the token comes, and
#   everything else goes to port 443, for which there is no setting.
# Sesame: `host` may have any port, and `auth-host` is a setting of its own, by default the host at port 8443
#   (conf/sesame.toml, host/sesame/src/config/ams.rs; docs/src/migrating.md for files of SSM).
#
# Output on 2026-11-29 (P: the port of the stub):
#   argo-ams-library 1.0.0
#   token, endpoint localhost:P: published
#   certificate, endpoint localhost:P: AmsConnectionException, Failed to parse: 'localhost:P:8443'
#   certificate, endpoint localhost, authn_port P: token of-the-stub; publish to port=443
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
timeout 300 venv/bin/pip install --quiet --disable-pip-version-check --no-input \
    argo-ams-library==1.0.0 requests==2.34.2 >log 2>&1 || { cat log >&2; exit 2; }
PYTHONPATH=$here/lib timeout 60 venv/bin/python - <<'P'
import re
from importlib.metadata import version

from ams_stub import CERTIFICATE, KEY, Stub
from argo_ams_library import AmsConnectionException, AmsMessage, ArgoMessagingService

print("argo-ams-library", version("argo-ams-library"))
stub = Stub()
endpoint = f"localhost:{stub.port}"
credential = {"cert": CERTIFICATE, "key": KEY}


def message():
    return AmsMessage(data="text", attributes={"empaid": "1"})


ArgoMessagingService(endpoint=endpoint, project="project", token="token").publish("topic", message())
assert len(stub.messages) == 1
print("token, endpoint localhost:P: published")

before = len(stub.requests)
try:
    ArgoMessagingService(endpoint=endpoint, project="project", **credential)
    raise SystemExit("an endpoint with a port works with a certificate now")
except AmsConnectionException as error:
    reason = re.search(r"Failed to parse: [^ ]+|$", str(error)).group().replace(str(stub.port), "P")
print(f"certificate, endpoint localhost:P: AmsConnectionException, {reason}")
assert (reason, len(stub.requests)) == ("Failed to parse: 'localhost:P:8443'", before)

client = ArgoMessagingService(endpoint="localhost", authn_port=stub.port, project="project", **credential)
try:
    client.publish("topic", message())
    raise SystemExit("something answers at port 443 of this host")
except AmsConnectionException as error:
    port = re.search(r"port=\d+", str(error)).group()
print(f"certificate, endpoint localhost, authn_port P: token {client.token}; publish to {port}")
assert (client.token, port, len(stub.messages)) == ("of-the-stub", "port=443", 1)
P
