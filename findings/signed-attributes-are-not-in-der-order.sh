#!/usr/bin/env bash
# node-forge and pkijs sign the attributes of a CMS message in the order in which the caller lists them, not in DER.
#
# Expected: RFC 5652 5.4 has the attributes, a SET OF, digested in DER: sorted by their encodings, whatever the caller's
#   order. A verifier that encodes them itself, as the text says, and one that takes the octets that came then agree.
# Seen: with the list of node-forge's own README (content type, message digest, signing time) the signature is over that
#   unsorted order and does not verify over the DER encoding; pkijs does the same with any order that it is given. OpenSSL
#   verifies over the order that came, so that such messages pass there and fail in verifiers that go by the RFC.
# Sesame: takes any order, over the octets that came, each attribute being DER and there once (host/smime/src/shape,
#   docs/src/smime.md).
#
# Output on 2026-11-28:
#   node v20.20.2
#   node-forge 1.4.3: over the order that came: true, over the DER encoding: false
#   pkijs 4.0.0: over the order that came: true, over the DER encoding: false
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts node-forge@1.4.3 pkijs@4.0.0 asn1js@4.0.0 || exit 2
echo "node $(node --version)"
cat >finding.mjs <<'JS'
import { createVerify, webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import forge from "node-forge";
import * as pkijs from "pkijs";
import * as asn1js from "asn1js";

pkijs.setEngine("node", new pkijs.CryptoEngine({ name: "node", crypto: webcrypto }));
const keys = forge.pki.rsa.generateKeyPair(2048);
const certificate = forge.pki.createCertificate();
certificate.publicKey = keys.publicKey;
certificate.serialNumber = "01";
certificate.validity.notBefore = new Date();
certificate.validity.notAfter = new Date(Date.now() + 86400000);
certificate.setSubject([{ name: "commonName", value: "signer" }]);
certificate.setIssuer([{ name: "commonName", value: "signer" }]);
certificate.sign(keys.privateKey, forge.md.sha256.create());
const { contentType, messageDigest, signingTime, data, sha256 } = forge.pki.oids;

function byForge() {
  const p7 = forge.pkcs7.createSignedData();
  p7.content = forge.util.createBuffer("content", "utf8");
  p7.addCertificate(certificate);
  p7.addSigner({
    key: keys.privateKey,
    certificate,
    digestAlgorithm: sha256,
    authenticatedAttributes: [
      { type: contentType, value: data },
      { type: messageDigest },
      { type: signingTime, value: new Date() },
    ],
  });
  p7.sign();
  return Buffer.from(forge.asn1.toDer(p7.toAsn1()).getBytes(), "binary");
}

async function byPkijs() {
  const content = new TextEncoder().encode("content");
  const der = (text) => Uint8Array.from(Buffer.from(text, "binary"));
  const signer = pkijs.Certificate.fromBER(der(forge.asn1.toDer(forge.pki.certificateToAsn1(certificate)).getBytes()).buffer);
  const pkcs8 = forge.asn1.toDer(forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(keys.privateKey))).getBytes();
  const key = await webcrypto.subtle.importKey("pkcs8", der(pkcs8), { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, true, ["sign"]);
  const attribute = (type, value) => new pkijs.Attribute({ type, values: [value] });
  const attributes = [
    attribute(messageDigest, new asn1js.OctetString({ valueHex: await webcrypto.subtle.digest("SHA-256", content) })),
    attribute(contentType, new asn1js.ObjectIdentifier({ value: data })),
  ];
  const sid = new pkijs.IssuerAndSerialNumber({ issuer: signer.issuer, serialNumber: signer.serialNumber });
  const signedAttrs = new pkijs.SignedAndUnsignedAttributes({ type: 0, attributes });
  const signed = new pkijs.SignedData({
    encapContentInfo: new pkijs.EncapsulatedContentInfo({ eContentType: data, eContent: new asn1js.OctetString({ valueHex: content.buffer }) }),
    signerInfos: [new pkijs.SignerInfo({ version: 1, sid, signedAttrs })],
    certificates: [signer],
  });
  await signed.sign(key, 0, "SHA-256");
  const info = new pkijs.ContentInfo({ contentType: pkijs.ContentInfo.SIGNED_DATA, content: signed.toSchema(true) });
  return Buffer.from(info.toSchema().toBER(false));
}

// The attributes as they came and sorted, each as the SET that is signed; and the signature.
function parts(der) {
  const info = asn1js.fromBER(Uint8Array.from(der).buffer).result;
  const signerInfos = info.valueBlock.value[1].valueBlock.value[0].valueBlock.value.at(-1);
  const fields = signerInfos.valueBlock.value[0].valueBlock.value;
  const encoded = fields[3].valueBlock.value.map((one) => Buffer.from(one.toBER(false)));
  const sorted = [...encoded].sort(Buffer.compare);
  const set = (list) => Buffer.concat([Buffer.from([0x31, list.reduce((sum, one) => sum + one.length, 0)]), ...list]);
  return { came: set(encoded), sorted: set(sorted), signature: Buffer.from(fields[5].valueBlock.valueHexView) };
}

const publicKey = forge.pki.publicKeyToPem(keys.publicKey);
let same = true;
for (const [name, der] of [["node-forge", byForge()], ["pkijs", await byPkijs()]]) {
  const { came, sorted, signature } = parts(der);
  const over = (octets) => createVerify("sha256").update(octets).verify(publicKey, signature);
  const version = JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;
  console.log(`${name} ${version}: over the order that came: ${over(came)}, over the DER encoding: ${over(sorted)}`);
  same &&= over(came) && !over(sorted);
}
process.exit(same ? 0 : 1);
JS
timeout 120 node finding.mjs
