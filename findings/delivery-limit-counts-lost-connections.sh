#!/usr/bin/env bash
# A quorum queue with a delivery limit deletes messages of a STOMP client that only lost its connection.
#
# Expected: a delivery limit counts messages that a consumer returned (NACK, "poison messages"). A client that loses its
#   connection said nothing about any message, and those that it had only prefetched it never looked at; they stay.
# Seen: RabbitMQ 3.10.8, quorum queue with x-delivery-limit 3, four messages, a client with prefetch-count 10 that
#   connects, subscribes and is cut off: at the fourth time all four messages are deleted. No ERROR frame, no RECEIPT, no
#   header says so; the next SUBSCRIBE succeeds and nothing comes. The only sign is the header x-delivery-count,
#   absent at the first delivery, then 1, 2, 3. RabbitMQ 4 has a limit of 20 on every quorum queue by default
#   (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
# Sesame: probes spool and journal before each session, so that a fault that lasts costs one delivery
#   (host/sesame/src/receiver/ready.rs), and warns from a count of 10.
#
# Output on 2026-11-28:
#   rabbitmq-server 3.10.8-1.1+deb12u1
#   connections lost before: 0; other frames: RECEIPT; x-delivery-count: - - - -
#   connections lost before: 1; other frames: RECEIPT; x-delivery-count: 1 1 1 1
#   connections lost before: 2; other frames: RECEIPT; x-delivery-count: 2 2 2 2
#   connections lost before: 3; other frames: RECEIPT; x-delivery-count: 3 3 3 3
#   connections lost before: 4; other frames: RECEIPT; x-delivery-count: no message
#   connections lost before: 5; other frames: RECEIPT; x-delivery-count: no message
#   messages in the queue: limited 0
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
. "$here/lib/brokers"
version=3.10.8-1.1+deb12u1
start_rabbitmq "$version"
echo "rabbitmq-server $version"
ctl eval 'rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"limited">>), true, false,
    [{<<"x-queue-type">>, longstr, <<"quorum">>}, {<<"x-delivery-limit">>, long, 3}], none, <<"finding">>).' >/dev/null
PYTHONPATH=$here/lib python3 - "$STOMP" <<'P'
import sys
import time
from raw_stomp import Connection

port = int(sys.argv[1])
queue = "/amq/queue/limited"
sender = Connection(port)
assert [sender.send(queue, body) for body in (b"1", b"2", b"3", b"4")] == ["RECEIPT"] * 4
seen = []
for lost in range(6):
    client = Connection(port)
    client.subscribe(queue, ack="client-individual", prefetch_count=10)
    frames = client.hear_all(2)
    counts = [headers.get("x-delivery-count", "-") for command, headers, _ in frames if command == "MESSAGE"]
    others = [command for command, _, _ in frames if command != "MESSAGE"]
    print(f"connections lost before: {lost}; other frames: {' '.join(others)}; x-delivery-count: {' '.join(counts) or 'no message'}")
    assert others == ["RECEIPT"]
    seen.append(counts)
    client.socket.close()
    time.sleep(1)
assert seen == [["-"] * 4, ["1"] * 4, ["2"] * 4, ["3"] * 4, [], []], seen
P
echo "messages in the queue: $(ctl --no-table-headers list_queues name messages)"
[[ $(ctl --no-table-headers list_queues name messages) == *limited*0 ]]
