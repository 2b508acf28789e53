#!/usr/bin/env bash
# The `port` of AUDITOR's APEL plugin is that of the authentication service: messages go to port 443 at any setting.
#
# Expected: `host` and `port` in the section `messaging` say where messages are sent.
# Seen: auditor-apel-plugin 0.11.2 with argo-ams-library 1.0.0 fetches its token at `port` and sends the message to port
#   443 of `host`. With a port in `host`, no token can be fetched. So a service at another port cannot be used.
# Sesame: `host` has the port of the API, `auth-host` that of the authentication service (conf/sesame.toml,
#   docs/src/operating.md). What the plugin publishes at port 443 is received
#   (tests/acceptance/ams_other_senders.rs).
#
# Output on 2026-11-29 (P: the port of the stub):
#   auditor-apel-plugin 0.11.2, argo-ams-library 1.0.0
#   host localhost, port P: token fetched at P, message sent to port=443
#   host localhost:P, port P: Failed to parse: 'localhost:P:P'
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
timeout 300 venv/bin/pip install --quiet --disable-pip-version-check --no-input \
    auditor-apel-plugin==0.11.2 python-auditor==0.11.2 argo-ams-library==1.0.0 requests==2.34.2 >log 2>&1 ||
    { cat log >&2; exit 2; }
PYTHONPATH=$here/lib timeout 60 venv/bin/python - <<'P'
import logging
import re
from argparse import Namespace
from importlib.metadata import version

from ams_stub import CERTIFICATE, KEY, Stub
from argo_ams_library import AmsConnectionException
from auditor_apel_plugin import config, core

print(f"auditor-apel-plugin {version('auditor-apel-plugin')}, argo-ams-library {version('argo-ams-library')}")
logging.getLogger("apel_plugin").setLevel(logging.CRITICAL + 1)
stub = Stub()


def error_at(host):
    """What sending a message says where the plugin has this `host` and the stub's port."""
    messaging = config.MessageConfig(
        host=host, port=stub.port, client_cert=CERTIFICATE, client_key=KEY,
        project="project", topic="topic", timeout=10, retry=0,
    )
    settings = Namespace(messaging=messaging)
    try:
        core.send_payload(settings, core.build_payload(core.sign_msg(settings, "APEL-sync-message: v0.1\n")))
    except AmsConnectionException as error:
        return str(error).replace(str(stub.port), "P")
    raise SystemExit(f"{host}: the message was taken")


port = re.search(r"port=\w+|$", error_at("localhost")).group()
assert (port, len(stub.requests), stub.messages) == ("port=443", 1, [])
assert stub.requests[0].endswith(":authx509")
print(f"host localhost, port P: token fetched at P, message sent to {port}")
reason = re.search(r"Failed to parse: [^ ]+|$", error_at("localhost:P".replace("P", str(stub.port)))).group()
assert (reason, len(stub.requests)) == ("Failed to parse: 'localhost:P:P'", 1)
print(f"host localhost:P, port P: {reason}")
P
