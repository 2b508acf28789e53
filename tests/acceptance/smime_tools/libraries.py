"""Writes what Python's cryptography and asn1crypto make, as their documentation shows them.

Arguments: signer's certificate and key, the recipient's certificate, the folder to write to.
"""

import datetime
import hashlib
import pathlib
import sys

from asn1crypto import algos, cms, core, pem
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import pkcs7

TEXT = b"Site: UKI-TEST\nOwner: someone\n"
PART = b"Content-Type: text/plain\r\n\r\n" + TEXT.replace(b"\n", b"\r\n")

signer_file, key_file, recipient_file, folder = map(pathlib.Path, sys.argv[1:])
signer = x509.load_pem_x509_certificate(signer_file.read_bytes())
key = serialization.load_pem_private_key(key_file.read_bytes(), None)
recipient = x509.load_pem_x509_certificate(recipient_file.read_bytes())


def signed(case, *options, rsa_padding=None):
    more = {"rsa_padding": rsa_padding} if rsa_padding else {}
    builder = pkcs7.PKCS7SignatureBuilder().set_data(TEXT).add_signer(signer, key, hashes.SHA256(), **more)
    message = builder.sign(serialization.Encoding.SMIME, list(options))
    (folder / case).write_bytes(message)
    return message


Options = pkcs7.PKCS7Options
text = signed("python-text", Options.Text, Options.DetachedSignature)
signed("python-detached", Options.DetachedSignature)
signed("python-attached")
signed("python-binary", Options.Binary, Options.DetachedSignature)
signed("python-no-capabilities", Options.NoCapabilities, Options.DetachedSignature)
signed("python-no-attributes", Options.NoAttributes, Options.DetachedSignature)
signed("python-no-certs", Options.NoCerts, Options.DetachedSignature)
longest = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
signed("python-pss", Options.Text, Options.DetachedSignature, rsa_padding=longest)
envelope = pkcs7.PKCS7EnvelopeBuilder().set_data(text).add_recipient(recipient)
(folder / "python-envelope").write_bytes(envelope.encrypt(serialization.Encoding.SMIME, [Options.Binary]))


def by_hand(case, by_key):
    """A SignedData as asn1crypto's users put it together."""
    certificate = asn1_x509.Certificate.load(pem.unarmor(signer_file.read_bytes())[2])
    now = core.UTCTime(datetime.datetime.now(datetime.timezone.utc))
    attributes = cms.CMSAttributes(
        [
            cms.CMSAttribute({"type": "content_type", "values": ["data"]}),
            cms.CMSAttribute({"type": "message_digest", "values": [hashlib.sha256(PART).digest()]}),
            cms.CMSAttribute({"type": "signing_time", "values": [cms.Time({"utc_time": now})]}),
        ]
    )
    if by_key:
        sid = cms.SignerIdentifier({"subject_key_identifier": certificate.key_identifier})
    else:
        name = {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
        sid = cms.SignerIdentifier({"issuer_and_serial_number": cms.IssuerAndSerialNumber(name)})
    digest = algos.DigestAlgorithm({"algorithm": "sha256"})
    info = cms.SignerInfo(
        {
            "version": "v3" if by_key else "v1",
            "sid": sid,
            "digest_algorithm": digest,
            "signed_attrs": attributes,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "rsassa_pkcs1v15"}),
            "signature": key.sign(attributes.untag().dump(), padding.PKCS1v15(), hashes.SHA256()),
        }
    )
    content = cms.SignedData(
        {
            "version": "v3" if by_key else "v1",
            "digest_algorithms": [digest],
            "encap_content_info": {"content_type": "data", "content": PART},
            "certificates": [certificate],
            "signer_infos": [info],
        }
    )
    der = cms.ContentInfo({"content_type": "signed_data", "content": content}).dump()
    (folder / case).write_bytes(b"Content-Type: application/pkcs7-mime\n\n" + der)


by_hand("asn1crypto-signed", by_key=False)
by_hand("asn1crypto-key-identifier", by_key=True)
