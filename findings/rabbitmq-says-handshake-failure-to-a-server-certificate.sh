#!/bin/bash
# One would expect: a broker that verifies client certificates answers one without clientAuth in its extended key usage with
# the alert made for that, unsupported_certificate (43; RFC 8446 section 6.2), as a server of OpenSSL does.
#
# What happens: RabbitMQ (Erlang's ssl) answers handshake_failure (40), which clients report as "no common cipher". Only
# the broker's own log names the extended key usage. A host certificate with serverAuth alone, good for a web server, ends
# so; the same certificate with clientAuth is let in.
#
# Versions: rabbitmq-server 3.10.8-1.1+deb12u1 on Erlang 25 of Debian 12; the machine's openssl as client (3.0.19 seen).
# Run as root.
# Output seen:
#     RabbitMQ, serverAuth and clientAuth: CONNECTED
#     RabbitMQ, serverAuth alone: alert number 40
#     openssl s_server, serverAuth alone: alert number 43
#
# Sesame: `check` warns of such a certificate before it is used over TLS, and lays a handshake_failure to it by name
# (host/trust/src/tls/client.rs, host/dial/src/error.rs).
set -euo pipefail
. "$(dirname "$0")/lib/debian-root"
. "$(dirname "$0")/lib/brokers"
start_rabbitmq 3.10.8-1.1+deb12u1
kill_broker
cd "$ROOT/broker"
make() { # NAME PURPOSES
    openssl req -new -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=%s\n' \
        "$2" >"$1.cnf"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile "$1.cnf" -out "$1.pem" 2>/dev/null
}
openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=CA -keyout ca.key -out ca.pem 2>/dev/null
make broker serverAuth
make both serverAuth,clientAuth
make server serverAuth
chmod 644 ./*.key
TLS=$(free_port)
cat >>rabbitmq.conf <<CONF
stomp.listeners.ssl.1 = 127.0.0.1:$TLS
ssl_options.cacertfile = /broker/ca.pem
ssl_options.certfile = /broker/broker.pem
ssl_options.keyfile = /broker/broker.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
CONF
restart_broker

# Connects as NAME, says CONNECT, and prints the broker's answer or the number of its alert.
answer() { # PORT NAME
    { printf 'CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0'; sleep 3; } |
        timeout 10 openssl s_client -connect "127.0.0.1:$1" -CAfile ca.pem -cert "$2.pem" -key "$2.key" -quiet 2>&1 |
        tr -d '\0' | grep -aoE 'CONNECTED$|alert number [0-9]+' | head -1 || true
}
both=$(answer "$TLS" both)
server=$(answer "$TLS" server)
OTHER=$(free_port)
openssl s_server -quiet -accept "127.0.0.1:$OTHER" -cert broker.pem -key broker.key -CAfile ca.pem -Verify 2 \
    -verify_return_error >/dev/null 2>&1 &
other=$!
trap 'kill "$other" 2>/dev/null || true; debian_root_remove' EXIT
sleep 1
openssl_says=$(answer "$OTHER" server)
kill "$other"
echo "rabbitmq-server $(debian_version rabbitmq-server), $(openssl version | cut -d' ' -f1,2)"
echo "RabbitMQ, serverAuth and clientAuth: $both"
echo "RabbitMQ, serverAuth alone: $server"
echo "openssl s_server, serverAuth alone: $openssl_says"
[ "$both" = CONNECTED ] && [ "$server" = 'alert number 40' ] && [ "$openssl_says" = 'alert number 43' ]
