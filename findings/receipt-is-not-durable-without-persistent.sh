#!/usr/bin/env bash
# A STOMP RECEIPT does not mean that the message survives the broker.
#
# Expected: after the RECEIPT of a SEND to a queue (STOMP 1.2, "RECEIPT": the server has processed the frame) a producer
#   may delete its copy, for the queues of both brokers are durable.
# Seen: RabbitMQ 3.10.8 and ActiveMQ 5.17.2 answer the RECEIPT of 200 SENDs without `persistent:true` and have none of
#   them after kill -9 and a restart. With the header all 200 are there.
# Sesame: puts `persistent:true` on every SEND (host/stomp/src/encode.rs) and removes an element on the RECEIPT only.
#
# Output on 2026-11-28:
#   rabbitmq 3.10.8-1.1+deb12u1: 200 receipts without persistent, 0 messages after kill -9
#   rabbitmq 3.10.8-1.1+deb12u1: 200 receipts with persistent, 200 messages after kill -9
#   activemq 5.17.2+dfsg-2+deb12u1: 200 receipts without persistent, 0 messages after kill -9
#   activemq 5.17.2+dfsg-2+deb12u1: 200 receipts with persistent, 200 messages after kill -9
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

try() { # BROKER VERSION
    . "$here/lib/debian-root"
    . "$here/lib/brokers"
    "start_$1" "$2"
    stomp_client
    local receipts left header expected headers
    for header in without with; do
        expected=0 headers=()
        [ "$header" = without ] || expected=200 headers=(persistent:true)
        receipts=$(client send "/queue/$header" 200 "${headers[@]}")
        kill_broker
        restart_broker
        left=$(client count "/queue/$header")
        echo "$1 $2: $receipts receipts $header persistent, $left messages after kill -9"
        [ "$receipts $left" = "200 $expected" ]
    done
}

for broker in 'rabbitmq 3.10.8-1.1+deb12u1' 'activemq 5.17.2+dfsg-2+deb12u1'; do
    (try $broker)
done
