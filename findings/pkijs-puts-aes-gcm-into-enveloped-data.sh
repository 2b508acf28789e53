#!/usr/bin/env bash
# The example of pkijs for enveloped data makes messages with AES-GCM that OpenSSL cannot decrypt.
#
# Expected: authenticated enveloped data (RFC 5083) with the GCMParameters of RFC 5084, or an error that EnvelopedData has
#   no place for a tag.
# Seen: pkijs 4.0.0 puts id-aes256-GCM into EnvelopedData; the parameters are a bare OCTET STRING of 16 octets, the nonce,
#   and the tag is the end of the ciphertext. It decrypts its own; OpenSSL 3.0.22 says "cipher parameter initialisation
#   error". The same example with AES-CBC is read by OpenSSL.
# Sesame: refuses it as `cipher`, with what to use instead (host/smime/src/shape/algorithm.rs, docs/src/smime.md).
#
# Output on 2026-11-28:
#   node v20.20.2
#   pkijs 4.0.0
#   pkijs AES-CBC: 2.16.840.1.101.3.4.1.42, parameters OCTET STRING; pkijs decrypts it to content
#   pkijs AES-GCM: 2.16.840.1.101.3.4.1.46, parameters OCTET STRING; pkijs decrypts it to content
#   OpenSSL 3.0.22-1~deb12u2, AES-CBC: content
#   OpenSSL 3.0.22-1~deb12u2, AES-GCM: cipher parameter initialisation error
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
debian_root openssl=3.0.22-1~deb12u2
mkdir "$ROOT/work"
inside sh -ec 'cd /work
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj "/O=Example/CN=recipient" -days 30' 2>/dev/null
cd "$ROOT/work"
echo '{"private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts pkijs@4.0.0 || exit 2
echo "node $(node --version)"
cat >finding.mjs <<'JS'
import { readFileSync, writeFileSync } from "node:fs";
import { webcrypto } from "node:crypto";
import * as pkijs from "pkijs";

pkijs.setEngine("node", new pkijs.CryptoEngine({ name: "node", crypto: webcrypto }));
const der = (file) => Uint8Array.from(Buffer.from(readFileSync(file, "utf8").replace(/-----[^-]+-----|\s/g, ""), "base64")).buffer;
const cert = pkijs.Certificate.fromBER(der("cert.pem"));
for (const name of ["AES-CBC", "AES-GCM"]) {
  const enveloped = new pkijs.EnvelopedData();
  enveloped.addRecipientByCertificate(cert, { oaepHashAlgorithm: "SHA-256" });
  await enveloped.encrypt({ name, length: 256 }, new TextEncoder().encode("content").buffer);
  const info = new pkijs.ContentInfo({ contentType: pkijs.ContentInfo.ENVELOPED_DATA, content: enveloped.toSchema() });
  const raw = info.toSchema().toBER(false);
  writeFileSync(`${name}.der`, Buffer.from(raw));
  const again = new pkijs.EnvelopedData({ schema: pkijs.ContentInfo.fromBER(raw).content });
  const plain = await again.decrypt(0, { recipientCertificate: cert, recipientPrivateKey: der("key.pem") });
  const { algorithmId, algorithmParams } = again.encryptedContentInfo.contentEncryptionAlgorithm;
  const kind = algorithmParams.constructor.NAME ?? algorithmParams.constructor.name;
  console.log(`pkijs ${name}: ${algorithmId}, parameters ${kind}; pkijs decrypts it to ${Buffer.from(plain)}`);
}
JS
seen=$(timeout 60 node finding.mjs)
for name in AES-CBC AES-GCM; do
    said=$(inside sh -c "cd /work; openssl cms -decrypt -inform DER -in $name.der -recip cert.pem -inkey key.pem 2>&1") || true
    said=$(grep -oE '^content|cipher parameter initialisation error' <<<"$said" | head -1)
    seen+=$'\n'"OpenSSL $(debian_version openssl), $name: $said"
done
echo "pkijs $(node -p 'require("./node_modules/pkijs/package.json").version')"
echo "$seen"
grep -q '^pkijs AES-GCM: 2.16.840.1.101.3.4.1.46, parameters OCTET STRING; pkijs decrypts it to content$' <<<"$seen"
grep -q 'AES-CBC: content$' <<<"$seen"
grep -q 'AES-GCM: cipher parameter initialisation error$' <<<"$seen"
