#!/usr/bin/env bash
# RabbitMQ's STOMP plugin confirms a persistent SEND to a queue that does not exist.
#
# Expected: the documentation says that receipts of persistent SENDs wait for the broker's confirm, so a RECEIPT means that
#   a queue has the message; a SEND to `/queue/NAME` declares the queue, so there always is one.
# Seen: RabbitMQ 3.10.8 answers RECEIPT for `/amq/queue/NAME` where there is no such queue. `/queue/NAME` is declared by the
#   first frame of a connection that names it and never again: after the queue was deleted every further SEND of that
#   connection gets its RECEIPT, and no queue is made.
# Sesame: asks whether the queue is there before the first SEND of a session and before it removes what was confirmed
#   (host/sesame/src/sender/proof.rs); see docs/src/destinations.md.
#
# Output on 2026-11-28:
#   rabbitmq-server 3.10.8-1.1+deb12u1
#   /amq/queue/none, which does not exist: RECEIPT
#   /queue/a: RECEIPT, and the queue has 1
#   /queue/a after the queue was deleted: RECEIPT, and there are 0 queues
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
. "$here/lib/brokers"
version=3.10.8-1.1+deb12u1
start_rabbitmq "$version"
echo "rabbitmq-server $version"
coproc talk { PYTHONPATH=$here/lib exec python3 -uc '
import sys
from raw_stomp import Connection
connection = Connection(int(sys.argv[1]))
for line in sys.stdin:
    print(connection.send(line.strip()), flush=True)
' "$STOMP"; }
ask() { echo "$1" >&"${talk[1]}"; read -r answer <&"${talk[0]}"; }
queues() { ctl --no-table-headers list_queues name messages; }
ask /amq/queue/none
echo "/amq/queue/none, which does not exist: $answer"
[ "$answer" = RECEIPT ]
ask /queue/a
held=$(queues | awk '$1 == "a" { print $2 }')
echo "/queue/a: $answer, and the queue has $held"
[ "$answer $held" = 'RECEIPT 1' ]
ctl delete_queue a >/dev/null
ask /queue/a
left=$(queues | grep -c . || true)
echo "/queue/a after the queue was deleted: $answer, and there are $left queues"
[ "$answer $left" = 'RECEIPT 0' ]
