#!/usr/bin/env bash
# RabbitMQ's STOMP plugin takes `prefetch-count:-1` and then delivers nothing; 0 delivers everything at once.
#
# Expected: a prefetch is a count of deliveries in flight (ActiveMQ: 0 is none), and a negative one is an error.
# Seen: RabbitMQ 3.10.8 sends a whole queue of 50 to a subscriber with 0, and to one with -1 nothing, for classic and quorum
#   queues, while it counts that subscriber as an active consumer: an `auto-delete` queue is deleted with its messages when
#   it leaves, though no message was ever delivered.
# Sesame: always asks for a prefetch of at least 1 where it receives. Where it only asks what a queue is, it sends -1 beside
#   a header that makes RabbitMQ refuse the subscription, so that there is no consumer either (host/stomp/src/rabbitmq.rs).
#
# Output on 2026-11-28:
#   rabbitmq-server 3.10.8-1.1+deb12u1
#   classic: prefetch 0 delivers 50, prefetch -1 delivers 0
#   quorum: prefetch 0 delivers 50, prefetch -1 delivers 0
#   auto-delete queue with 1 message after a subscriber with prefetch -1 left: gone
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


def delivered(queue, prefetch):
    connection = Connection(port)
    connection.subscribe(f"/amq/queue/{queue}", ack="client-individual", prefetch_count=prefetch)
    found = sum(command == "MESSAGE" for command, _, _ in connection.hear_all(2))
    connection.socket.close()
    return found


for kind in ("classic", "quorum"):
    for number in range(50):
        sender = Connection(port) if number < 1 else sender
        destination = f"/amq/queue/{kind}" if number else f"/queue/{kind}"
        assert sender.send(destination, **({} if number else {"x-queue-type": kind})) == "RECEIPT"
    nothing, everything = delivered(kind, -1), delivered(kind, 0)
    print(f"{kind}: prefetch 0 delivers {everything}, prefetch -1 delivers {nothing}")
    assert (everything, nothing) == (50, 0)
assert Connection(port).send("/queue/temporary", auto_delete="true") == "RECEIPT"
assert delivered("temporary", -1) == 0
connection = Connection(port)
connection.subscribe("/amq/queue/temporary", ack="client-individual", prefetch_count=1)
command, headers, _ = connection.hear()
print("auto-delete queue with 1 message after a subscriber with prefetch -1 left:", "gone" if command == "ERROR" else "there")
assert (command, headers.get("message")) == ("ERROR", "not_found")
P
