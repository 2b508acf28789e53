#!/usr/bin/env bash
# RabbitMQ that cannot read rabbitmq.conf does not start, and its command says success.
#
# Expected: a server that refuses its configuration exits with a status other than 0, as sysexits(3) and every supervisor
#   take it; a key that only later versions know is the usual cause, since their documentation does not say the version.
# Seen: with `stomp.max_frame_size`, which 3.12.2 brought, RabbitMQ 3.10.8 prints that no mapping provides the key and ends
#   with exit status 0. A script or a container engine that goes by the status takes it for a clean end.
# Sesame: says from which version on the key may be set, and what 3.10.8 does with it (docs/src/both-sides.md, Frames).
#
# Output on 2026-11-29:
#   rabbitmq-server 3.10.8-1.1+deb12u1
#   with stomp.max_frame_size: exit status 0; its output names the key: yes
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
. "$here/lib/brokers"
version=3.10.8-1.1+deb12u1
debian_root "rabbitmq-server=$version"
echo "rabbitmq-server $version"
mkdir "$ROOT/broker"
run() { # CONFIGURATION-LINE… → status and output, after at most 60 s
    printf '%s\n' 'listeners.tcp = none' "stomp.listeners.tcp.1 = 127.0.0.1:$(free_port)" "$@" >"$ROOT/broker/rabbitmq.conf"
    echo '[rabbitmq_stomp].' >"$ROOT/broker/enabled_plugins"
    status=0
    inside env RABBITMQ_CONFIG_FILE=/broker/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=/broker/enabled_plugins \
        RABBITMQ_MNESIA_BASE=/broker/mnesia RABBITMQ_LOG_BASE=/broker/log RABBITMQ_NODENAME=finding@localhost \
        RABBITMQ_DIST_PORT="$(free_port)" ERL_EPMD_PORT="$epmd" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
        timeout 60 /usr/lib/rabbitmq/bin/rabbitmq-server >"$ROOT/broker/output" 2>&1 || status=$?
}
epmd=$(free_port)
run 'stomp.max_frame_size = 8388608'
named=no
if grep -aqF 'stomp.max_frame_size' "$ROOT/broker/output"; then named=yes; fi
echo "with stomp.max_frame_size: exit status $status; its output names the key: $named"
[ "$status $named" = '0 yes' ]
