#!/bin/bash
# One would expect: a certificate verifies under its authority's certificate after that was issued again for the same name
# and the same key, since RFC 5280 section 6 validates by name and signature and leaves the authority key identifier out.
#
# What happens: where the certificate's authority key identifier holds issuer and serial number as well (`keyid,
# issuer:always`, which grid authorities use), OpenSSL takes the new edition for no issuer at all and says "unable to get
# local issuer certificate", although it is there, named, and made the signature. `cryptography`, a verifier by the same
# RFC, accepts the same chain.
#
# Versions: openssl 3.0.22-1~deb12u2 (Debian 12), cryptography 45.0.7 of PyPI. Run as root. Output seen:
#     old edition: OK
#     new edition: unable to get local issuer certificate
#     new edition, identifier with the key alone: OK
#     cryptography 45.0.7, new edition: accepted
#
# Sesame: name, key and signature decide (host/trust/src/path/detached.rs), for signers, brokers and recipients.
set -euo pipefail
. "$(dirname "$0")/lib/debian-root"
debian_root openssl=3.0.22-1~deb12u2
mkdir "$ROOT/work"
cd "$ROOT/work"
openssl() { inside sh -c 'cd /work && exec openssl "$@"' openssl "$@"; }
openssl version

openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/C=UK/O=Example/CN=Rolled CA' -keyout ca.key -out old.pem \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
cat >host.cnf <<'CNF'
[full]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:host.example.org
authorityKeyIdentifier = keyid, issuer:always
[short]
basicConstraints = critical, CA:FALSE
authorityKeyIdentifier = keyid
CNF
openssl req -new -newkey rsa:2048 -nodes -subj '/C=UK/O=Example/CN=host.example.org' -keyout host.key -out host.csr 2>/dev/null
for kind in full short; do
    openssl x509 -req -in host.csr -CA old.pem -CAkey ca.key -set_serial 5 -days 9 -extfile host.cnf -extensions $kind \
        -out $kind.pem 2>/dev/null
done
# The same name and key, another serial number.
openssl x509 -in old.pem -signkey ca.key -set_serial 99 -days 60 -out new.pem 2>/dev/null

verdict() { { openssl verify -CAfile "$1" "$2" 2>&1 || true; } | sed -n 's/^.*: OK$/OK/p; s/^error .*lookup: *//p' | head -1; }
old=$(verdict old.pem full.pem)
new=$(verdict new.pem full.pem)
short=$(verdict new.pem short.pem)
echo "old edition: $old"
echo "new edition: $new"
echo "new edition, identifier with the key alone: $short"

python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install cryptography==45.0.7 || exit 2
other=$(venv/bin/python - <<'PYTHON'
import cryptography
from cryptography import x509
from cryptography.x509 import verification as v

load = lambda name: x509.load_pem_x509_certificate(open(name, "rb").read())
policy = v.PolicyBuilder().store(v.Store([load("new.pem")]))
try:
    chain = policy.build_server_verifier(x509.DNSName("host.example.org")).verify(load("full.pem"), [])
    print(f"cryptography {cryptography.__version__}, new edition: accepted")
except v.VerificationError as error:
    print(f"cryptography {cryptography.__version__}, new edition: {error}")
PYTHON
)
echo "$other"
[ "$old" = OK ] && [ "$new" = 'unable to get local issuer certificate' ] && [ "$short" = OK ] &&
    [ "$other" = 'cryptography 45.0.7, new edition: accepted' ]
