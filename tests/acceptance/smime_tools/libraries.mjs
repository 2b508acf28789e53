// Writes what node-forge and pkijs make, as their documentation shows them.
// Arguments: signer's certificate and key, the recipient's certificate, the folder to write to.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { webcrypto } from "node:crypto";

const [signerFile, keyFile, recipientFile, folder] = process.argv.slice(2);
const require = createRequire(join(process.env.SMIME_TOOLS, "package.json"));
const forge = require("node-forge");
const pkijs = require("pkijs");
const asn1js = require("asn1js");

const read = (file) => readFileSync(file, "utf8");
const text = "Content-Type: text/plain\r\n\r\nSite: UKI-TEST\r\nOwner: someone\r\n";
const message = (der) =>
  Buffer.from(
    "MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
      Buffer.from(der).toString("base64").replace(/.{64}/g, "$&\r\n") + "\r\n",
  );
const write = (name, der) => {
  writeFileSync(join(folder, name), message(der));
  return message(der);
};
const forgeDer = (p7) => Buffer.from(forge.asn1.toDer(p7.toAsn1()).getBytes(), "binary");

// node-forge's README: the message digest before the signing time.
function forgeSigned() {
  const p7 = forge.pkcs7.createSignedData();
  p7.content = forge.util.createBuffer(text, "utf8");
  p7.addCertificate(read(signerFile));
  p7.addSigner({
    key: read(keyFile),
    certificate: read(signerFile),
    digestAlgorithm: forge.pki.oids.sha256,
    authenticatedAttributes: [
      { type: forge.pki.oids.contentType, value: forge.pki.oids.data },
      { type: forge.pki.oids.messageDigest },
      { type: forge.pki.oids.signingTime, value: new Date() },
    ],
  });
  p7.sign();
  return write("forge-signed", forgeDer(p7));
}

function forgeEnvelope(signed) {
  const p7 = forge.pkcs7.createEnvelopedData();
  p7.addRecipient(forge.pki.certificateFromPem(read(recipientFile)));
  p7.content = forge.util.createBuffer(signed.toString("binary"));
  p7.encrypt();
  write("forge-envelope", forgeDer(p7));
}

pkijs.setEngine("node", new pkijs.CryptoEngine({ name: "node", crypto: webcrypto }));
const bytes = (file) => new Uint8Array(Buffer.from(read(file).replace(/^[^]*?-----BEGIN [^-]+-----|-----END[^]*|\s/g, ""), "base64"));
const certificate = (file) => pkijs.Certificate.fromBER(bytes(file).buffer);

async function pkijsSigned(name, order, algorithm = "RSASSA-PKCS1-v1_5") {
  const signer = certificate(signerFile);
  const content = new TextEncoder().encode(text).buffer;
  const key = await webcrypto.subtle.importKey("pkcs8", bytes(keyFile), { name: algorithm, hash: "SHA-256" }, true, ["sign"]);
  const attribute = (type, value) => new pkijs.Attribute({ type, values: [value] });
  const digest = await webcrypto.subtle.digest("SHA-256", content);
  const attributes = {
    type: attribute("1.2.840.113549.1.9.3", new asn1js.ObjectIdentifier({ value: pkijs.ContentInfo.DATA })),
    time: attribute("1.2.840.113549.1.9.5", new asn1js.UTCTime({ valueDate: new Date() })),
    digest: attribute("1.2.840.113549.1.9.4", new asn1js.OctetString({ valueHex: digest })),
  };
  const signedAttrs = new pkijs.SignedAndUnsignedAttributes({ type: 0, attributes: order.map((one) => attributes[one]) });
  const data = new pkijs.SignedData({
    version: 1,
    encapContentInfo: new pkijs.EncapsulatedContentInfo({
      eContentType: pkijs.ContentInfo.DATA,
      eContent: new asn1js.OctetString({ valueHex: content }),
    }),
    signerInfos: [
      new pkijs.SignerInfo({
        version: 1,
        sid: new pkijs.IssuerAndSerialNumber({ issuer: signer.issuer, serialNumber: signer.serialNumber }),
        ...(order.length ? { signedAttrs } : {}),
      }),
    ],
    certificates: [signer],
  });
  await data.sign(key, 0, "SHA-256");
  const info = new pkijs.ContentInfo({ contentType: pkijs.ContentInfo.SIGNED_DATA, content: data.toSchema(true) });
  return write(name, info.toSchema().toBER(false));
}

async function pkijsEnvelope(name, cipher, signed) {
  const data = new pkijs.EnvelopedData();
  data.addRecipientByCertificate(certificate(recipientFile), { oaepHashAlgorithm: "SHA-256" });
  await data.encrypt({ name: cipher, length: 256 }, new Uint8Array(signed).buffer);
  const info = new pkijs.ContentInfo({ contentType: pkijs.ContentInfo.ENVELOPED_DATA, content: data.toSchema() });
  write(name, info.toSchema().toBER(false));
}

forgeEnvelope(forgeSigned());
await pkijsSigned("pkijs-no-attributes", []);
const signed = await pkijsSigned("pkijs-signed", ["type", "time", "digest"]);
await pkijsSigned("pkijs-unsorted", ["digest", "time", "type"]);
await pkijsSigned("pkijs-pss", ["type", "time", "digest"], "RSA-PSS");
await pkijsEnvelope("pkijs-cbc", "AES-CBC", signed);
await pkijsEnvelope("pkijs-gcm", "AES-GCM", signed);
