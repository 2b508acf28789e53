#!/usr/bin/env bash
# ActiveMQ takes the STOMP destination `topic://NAME` for a queue.
#
# Expected: `topic://NAME` and `queue://NAME` are how ActiveMQ writes destinations in its URIs, composite destinations and
#   logs, so the one is the topic and the other the queue NAME, or both are refused.
# Seen: ActiveMQ 5.17.2 keeps a message to `topic://a` until a client subscribes, as a queue of that whole name; one to
#   `queue://b` never reaches `/queue/b`. Two subscribers of `topic://c` share its messages instead of getting each all.
# Sesame: sends to neither (host/stomp/src/destination.rs); docs/src/destinations.md lists every form on both brokers.
#
# Output on 2026-11-28:
#   activemq 5.17.2+dfsg-2+deb12u1
#   topic://a: RECEIPT without a subscriber; a later subscriber gets 1
#   queue://b: RECEIPT; a subscriber of /queue/b gets 0, of queue://b gets 1
#   topic://c with two subscribers and 10 messages: 10 deliveries
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
. "$here/lib/brokers"
version=5.17.2+dfsg-2+deb12u1
start_activemq "$version"
echo "activemq $version"
PYTHONPATH=$here/lib python3 - "$STOMP" <<'P'
import sys
from raw_stomp import Connection

port = int(sys.argv[1])


def count(destination):
    connection = Connection(port)
    connection.subscribe(destination, ack="auto")
    return sum(command == "MESSAGE" for command, _, _ in connection.hear_all(2))


answer, found = Connection(port).send("topic://a"), count("topic://a")
print(f"topic://a: {answer} without a subscriber; a later subscriber gets {found}")
assert (answer, found) == ("RECEIPT", 1)
answer, plain, url = Connection(port).send("queue://b"), count("/queue/b"), count("queue://b")
print(f"queue://b: {answer}; a subscriber of /queue/b gets {plain}, of queue://b gets {url}")
assert (answer, plain, url) == ("RECEIPT", 0, 1)
subscribers = [Connection(port), Connection(port)]
for one in subscribers:
    one.subscribe("topic://c", ack="auto")
    one.hear()
sender = Connection(port)
for _ in range(10):
    sender.send("topic://c")
deliveries = sum(command == "MESSAGE" for one in subscribers for command, _, _ in one.hear_all(2))
print(f"topic://c with two subscribers and 10 messages: {deliveries} deliveries")
assert deliveries == 10
P
