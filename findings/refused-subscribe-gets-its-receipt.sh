#!/usr/bin/env bash
# RabbitMQ answers a SUBSCRIBE that it refuses with ERROR and then with the RECEIPT that was asked for.
#
# Expected: STOMP 1.2 ("ERROR"): the server sends ERROR and closes; a frame is answered by RECEIPT or by ERROR, and an ERROR
#   about a frame with a receipt header names it in receipt-id. A client that waits for the RECEIPT of its SUBSCRIBE knows
#   that it is subscribed.
# Seen: RabbitMQ 3.10.8 sends for a queue that is not there (and for one of another type, or declared otherwise) ERROR
#   without receipt-id, then the RECEIPT, then it closes. A client that skips frames it cannot match, or whose ERROR handler
#   runs later, takes the subscription for made.
# Sesame: the first ERROR ends a session whatever follows it (host/stomp/src/session/core.rs).
#
# Output on 2026-11-28:
#   rabbitmq-server 3.10.8-1.1+deb12u1
#   no such queue: ERROR (not_found, no receipt-id), RECEIPT subscribed, end of stream
#   a stream's header on a classic queue: ERROR (precondition_failed, no receipt-id), RECEIPT subscribed, end of stream
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
. "$here/lib/brokers"
version=3.10.8-1.1+deb12u1
start_rabbitmq "$version"
echo "rabbitmq-server $version"
PYTHONPATH=$here/lib python3 - "$STOMP" <<'P'
import sys
from raw_stomp import Connection

port = int(sys.argv[1])
Connection(port).send("/queue/a")
cases = [
    ("no such queue", "/amq/queue/none", {}, "not_found"),
    ("a stream's header on a classic queue", "/amq/queue/a", {"x-stream-offset": "next"}, "precondition_failed"),
]
for what, destination, headers, expected in cases:
    connection = Connection(port)
    connection.subscribe(destination, **{name.replace("-", "_"): value for name, value in headers.items()})
    answers = [connection.hear(), connection.hear()]
    assert connection.hear(2) is None
    (error, words, _), (receipt, named, _) = answers
    has = "receipt-id" if "receipt-id" in words else "no receipt-id"
    print(f"{what}: {error} ({words['message']}, {has}), {receipt} {named['receipt-id']}, end of stream")
    assert (error, words["message"], has) == ("ERROR", expected, "no receipt-id")
    assert (receipt, named["receipt-id"]) == ("RECEIPT", "subscribed")
P
