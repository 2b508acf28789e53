#!/usr/bin/env bash
# argo-ams-library repeats a publish that the service may have stored, and one that the service answered with 500.
#
# Expected: `publish` with `retry` stores a message once, or says that it may be stored twice. Its documentation names
#   what is repeated: 408, 502, 503 and 504, and problems of the connection.
# Seen: argo-ams-library 1.0.0 repeats after a lost answer, and returns the id of the last copy only. Both copies have
#   the same attributes and data. It repeats after 500 too, by default a minute later each time.
# Sesame: the receiver stores one of the two copies, by id, signer and digest (host/spool/src/journal/receiver.rs). As
#   AMS also answers 500 to a message that is too large, the sender rejects those above `max-message` before it sends
#   them (docs/src/operating.md).
#
# Output on 2026-11-29:
#   argo-ams-library 1.0.0
#   answer lost, retry=1: 2 copies stored, ids returned: ['2']
#   500 twice, retry=2: 3 requests, 1 stored; 500 in the documentation of retries: False
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
timeout 300 venv/bin/pip install --quiet --disable-pip-version-check --no-input \
    argo-ams-library==1.0.0 requests==2.34.2 >log 2>&1 || { cat log >&2; exit 2; }
PYTHONPATH=$here/lib timeout 60 venv/bin/python - <<'P'
import logging
from importlib.metadata import version

from ams_stub import Stub
from argo_ams_library import AmsMessage, ArgoMessagingService

print("argo-ams-library", version("argo-ams-library"))
logging.disable()
stub = Stub()
client = ArgoMessagingService(endpoint=f"localhost:{stub.port}", project="project", token="token")


def publish(faults, retry):
    """The ids that `publish` returns, the requests that it sent, and what is stored."""
    stub.requests, stub.messages, stub.faults = [], [], faults
    message = AmsMessage(data="text", attributes={"empaid": "1"})
    answer = client.publish("topic", message, retry=retry, retrysleep=0, timeout=10)
    return answer["messageIds"], len(stub.requests), stub.messages


ids, requests, stored = publish(["lost"], 1)
print(f"answer lost, retry=1: {len(stored)} copies stored, ids returned: {ids}")
assert (ids, requests, len(stored)) == (["2"], 2, 2) and stored[0] == stored[1]
_, requests, stored = publish([500, 500], 2)
named = "500" in ArgoMessagingService._retry_make_request.__doc__
print(f"500 twice, retry=2: {requests} requests, {len(stored)} stored; 500 in the documentation of retries: {named}")
assert (requests, len(stored), named) == (3, 1, False)
P
