#!/usr/bin/env bash
# A stream of RabbitMQ looks like a queue to STOMP, and a receiver misses what was sent before it came.
#
# Expected: a destination that takes SENDs with RECEIPT and lets a client subscribe and ACK keeps each message until its
#   ACK, as queues do; what is sent while no receiver is connected waits.
# Seen: RabbitMQ 3.10.8, `/amq/queue/NAME` of a stream: two SENDs before the SUBSCRIBE are never delivered, the two after it
#   are, and the ACKed ones are in the stream as before. Nothing is refused as long as a prefetch is given; only the header
#   x-stream-offset of a delivery shows it, and a publisher may write such a header into a classic queue as well.
# Sesame: asks for the type of the queue first and refuses a stream, for senders and receivers
#   (host/stomp/src/rabbitmq.rs, host/transport/src/connection/stomp.rs).
#
# Output on 2026-11-28:
#   rabbitmq-server 3.10.8-1.1+deb12u1
#   before SUBSCRIBE: RECEIPT RECEIPT; delivered: none
#   after SUBSCRIBE: RECEIPT RECEIPT; delivered: 3 4 with x-stream-offset 3 4
#   after two ACKs a subscriber from the beginning gets: 0 1 2 3 4
#   classic queue, header written by the sender: delivered with x-stream-offset 7
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
Connection(port).send("/queue/s", b"0", **{"x-queue-type": "stream"})
sender = Connection(port)
before = [sender.send("/amq/queue/s", body) for body in (b"1", b"2")]
receiver = Connection(port)
receiver.subscribe("/amq/queue/s", ack="client-individual", prefetch_count=10)
frames = receiver.hear_all(2)
missed = [body for command, _, body in frames if command == "MESSAGE"]
print(f"before SUBSCRIBE: {' '.join(before)}; delivered: {' '.join(missed) or 'none'}")
assert before == ["RECEIPT"] * 2 and not missed
after = [sender.send("/amq/queue/s", body) for body in (b"3", b"4")]
came = [(headers, body) for command, headers, body in receiver.hear_all(2) if command == "MESSAGE"]
offsets = [headers["x-stream-offset"] for headers, _ in came]
bodies = [body for _, body in came]
print(f"after SUBSCRIBE: {' '.join(after)}; delivered: {' '.join(bodies)} with x-stream-offset {' '.join(offsets)}")
assert (after, bodies) == (["RECEIPT"] * 2, ["3", "4"])
for headers, _ in came:
    receiver.say("ACK", {"id": headers["ack"]})
receiver.hear_all(1)
again = Connection(port)
again.subscribe("/amq/queue/s", ack="client-individual", prefetch_count=10, x_stream_offset="first")
whole = [body for command, _, body in again.hear_all(2) if command == "MESSAGE"]
print("after two ACKs a subscriber from the beginning gets:", *whole)
assert whole == ["0", "1", "2", "3", "4"]
Connection(port).send("/queue/classic", b"5", x_stream_offset=7)
classic = Connection(port)
classic.subscribe("/queue/classic", ack="client-individual", prefetch_count=10)
offset = [headers["x-stream-offset"] for command, headers, _ in classic.hear_all(2) if command == "MESSAGE"]
print("classic queue, header written by the sender: delivered with x-stream-offset", *offset)
assert offset == ["7"]
P
