#!/usr/bin/env bash
# Python cryptography's `Binary` option signs LF and writes CRLF: the message it makes does not verify.
#
# Expected: `PKCS7SignatureBuilder.sign(Encoding.SMIME, [Binary, DetachedSignature])` over text with LF gives a message
#   that verifies, as every other combination of its options does; `Binary` is said to leave the line ends as they are.
# Seen: cryptography 50.0.2 digests the content with LF, and then writes the whole message, the content too, with CRLF.
#   OpenSSL 3.0.22 answers "digest failure", with -binary and without; with the CRs taken out again it verifies with -binary.
# Sesame: tries the content with LF last and hands on what was signed (host/smime/src/open/verify.rs, docs/src/smime.md).
#
# Output on 2026-11-28:
#   cryptography 50.0.2
#   OpenSSL 3.0.22-1~deb12u2, text: Verification successful
#   OpenSSL 3.0.22-1~deb12u2, plain: Verification successful
#   OpenSSL 3.0.22-1~deb12u2, binary: Verification failure
#   OpenSSL 3.0.22-1~deb12u2, binary -binary: Verification failure
#   OpenSSL 3.0.22-1~deb12u2, binary-lf -binary: Verification successful
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
debian_root openssl=3.0.22-1~deb12u2
mkdir "$ROOT/work"
inside sh -ec 'cd /work
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj "/O=Example/CN=signer" -days 30' 2>/dev/null
cd "$ROOT/work"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$ROOT/python" cryptography==50.0.2 || exit 2
PYTHONPATH=$ROOT/python python3 - <<'PY'
import cryptography
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

certificate = x509.load_pem_x509_certificate(open("cert.pem", "rb").read())
key = serialization.load_pem_private_key(open("key.pem", "rb").read(), None)
O = pkcs7.PKCS7Options
for name, options in {"text": [O.Text], "plain": [], "binary": [O.Binary]}.items():
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"one\ntwo\n").add_signer(certificate, key, hashes.SHA256())
    message = builder.sign(serialization.Encoding.SMIME, [*options, O.DetachedSignature])
    open(name, "wb").write(message)
    open(name + "-lf", "wb").write(message.replace(b"\r\n", b"\n"))
print("cryptography", cryptography.__version__)
PY
verdict() { # FILE OPTION…
    local file=$1
    shift
    inside sh -c "cd /work; openssl cms -verify -noverify -in $file $* -out /dev/null 2>&1" | grep -oE 'Verification successful|Verification failure|verification failure|digest failure' | head -1 || true
}
seen=$(
    for one in text plain binary 'binary -binary' 'binary-lf -binary'; do
        echo "OpenSSL $(debian_version openssl), $one: $(verdict $one)"
    done
)
echo "$seen"
grep -q ' text: .*successful' <<<"$seen"
grep -q ' plain: .*successful' <<<"$seen"
[ "$(grep -c 'binary.*[Ff]ailure' <<<"$seen")" = 2 ]
grep -q 'binary-lf -binary: .*successful' <<<"$seen"
