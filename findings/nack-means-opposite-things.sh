#!/usr/bin/env bash
# NACK loops on one broker and discards on the other.
#
# Expected: STOMP 1.2 ("NACK") says that the client did not consume the message; a receiver that cannot take a message now
#   would answer NACK to have it again later.
# Seen: RabbitMQ 3.10.8 delivers the one message again at once, thousands of times in five seconds, and still holds it.
#   ActiveMQ 5.17.2 delivers it once and moves it to the queue ActiveMQ.DLQ at the first NACK.
# Sesame: never sends NACK; what cannot be taken is kept in a queue of its own and acknowledged, or left unacknowledged while
#   the channel pauses (host/sesame/src/receiver).
#
# Output on 2026-11-28:
#   rabbitmq 3.10.8-1.1+deb12u1: more than 100 deliveries in 5 s: yes; left in the queue: 1; in ActiveMQ.DLQ: 0
#   activemq 5.17.2+dfsg-2+deb12u1: more than 100 deliveries in 5 s: no; left in the queue: 0; in ActiveMQ.DLQ: 1
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

try() { # BROKER VERSION EXPECTED
    . "$here/lib/debian-root"
    . "$here/lib/brokers"
    "start_$1" "$2"
    stomp_client
    client send /queue/one 1 persistent:true >/dev/null
    local deliveries many=no seen
    deliveries=$(client nack /queue/one 5)
    [ "$deliveries" -le 100 ] || many=yes
    seen="more than 100 deliveries in 5 s: $many; left in the queue: $(client count /queue/one); in ActiveMQ.DLQ: $(
        client count /queue/ActiveMQ.DLQ)"
    echo "$1 $2: $seen"
    [ "$seen" = "$3" ]
}

(try rabbitmq 3.10.8-1.1+deb12u1 'more than 100 deliveries in 5 s: yes; left in the queue: 1; in ActiveMQ.DLQ: 0')
(try activemq 5.17.2+dfsg-2+deb12u1 'more than 100 deliveries in 5 s: no; left in the queue: 0; in ActiveMQ.DLQ: 1')
