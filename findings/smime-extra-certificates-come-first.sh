#!/usr/bin/env bash
# The first certificate of a signed message need not be the signer's, and which one comes first depends on the command.
#
# Expected: `openssl smime -sign` and `openssl cms -sign` with the same signer and the same `-certfile` write the same bag,
#   the signer's certificate first, so that a reader may take the first as the signer's (RFC 5652 5.1: the order is free).
# Seen: OpenSSL 3.0.22's `smime` puts the additional certificates before the signer's, its `cms` behind it. A receiver that
#   takes the first certificate for the signer's reads the name of the CA for messages signed with their chain.
# Sesame: takes the one certificate that the SignerInfo names, wherever it stands, and sends the signer's alone
#   (host/smime/src/open/verify.rs, seal.rs).
#
# Output on 2026-11-28:
#   openssl 3.0.22-1~deb12u2 smime -sign: CA, signer
#   openssl 3.0.22-1~deb12u2 cms -sign: signer, CA
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
debian_root openssl=3.0.22-1~deb12u2
inside mkdir /work
inside bash -ec '
    cd /work
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj "/O=Example/CN=CA" -days 30
    openssl req -newkey rsa:2048 -nodes -keyout signer.key -out signer.csr -subj "/O=Example/CN=signer"
    openssl x509 -req -in signer.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out signer.pem -days 30
' 2>/dev/null
order() { # COMMAND
    inside bash -ec "
        cd /work
        echo payload | openssl $1 -sign -signer signer.pem -inkey signer.key -certfile ca.pem -text -out message
        openssl smime -pk7out -in message | openssl pkcs7 -print_certs -noout
    " | sed -n 's/^subject=.*CN = //p' | paste -sd, | sed 's/,/, /'
}
for command in 'smime CA, signer' 'cms signer, CA'; do
    seen=$(order "${command%% *}")
    echo "openssl $(debian_version openssl) ${command%% *} -sign: $seen"
    [ "$seen" = "${command#* }" ]
done
