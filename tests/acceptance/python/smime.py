"""What SSM does to a message with `openssl smime`: seals it, opens it and says where it belongs."""

import quopri
import re
import subprocess


def openssl(text, *arguments):
    """Runs openssl over text in Python's text mode, where every line end becomes a newline."""
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, universal_newlines=True)
    return done.stdout, done.stderr


def seal(text, arguments):
    signed, _ = openssl(text, "smime", "-sign", "-inkey", arguments.key_file, "-signer", arguments.host, "-text")
    if not arguments.encrypt_for:
        return signed
    encrypted, _ = openssl(signed, "smime", "-encrypt", "-aes128", arguments.encrypt_for)
    return encrypted


def decrypted(text, arguments):
    if "application/pkcs7-mime" in text or "application/x-pkcs7-mime" in text:
        text, _ = openssl(text, "smime", "-decrypt", "-recip", arguments.host, "-inkey", arguments.key_file)
    return text


def subject(text):
    """The subject of the first certificate in the message, with slashes, and whether the anchors verify it."""
    signature, _ = openssl(text, "smime", "-pk7out")
    certificates, _ = openssl(signature, "pkcs7", "-print_certs")
    begin = certificates.find("-----BEGIN CERTIFICATE-----")
    first = certificates[begin:certificates.find("-----END CERTIFICATE-----") + 26]
    name, _ = openssl(first, "x509", "-noout", "-subject", "-nameopt", "compat")
    return first, name.strip().removeprefix("subject=").strip()


def verified(text, arguments):
    """The content and the signer's name, or a ValueError with the reason."""
    text += "\n\n"
    certificate, name = subject(text)
    trusted, problems = openssl(certificate, "verify", "-CApath", arguments.anchors)
    if "OK" not in trusted or "error" in trusted:
        raise ValueError("Unverified signer: %s" % problems)
    content, problems = openssl(text, "smime", "-verify", "-CApath", arguments.anchors, "-noverify")
    lines = content.strip().splitlines()
    if "" not in lines:
        raise ValueError("No blank line between message header and body")
    blank = lines.index("")
    headers, body = "\n".join(lines[:blank]), "\n".join(lines[blank + 1:])
    if "quoted-printable" in headers:
        body = quopri.decodestring(body.encode()).decode("utf-8")
    elif "base64" in headers:
        raise ValueError("base64 is not read by this version")
    if not re.search("Verification successful", problems):
        raise ValueError("Possible message tampering: %s" % problems)
    return body, name


def disposition(text, message_id, arguments):
    """Which queue a message belongs to, and the fields of its element."""
    with open(arguments.authorised, encoding="utf-8") as file:
        authorised = [line.strip() for line in file if line.startswith("/")]
    try:
        body, signer = verified(decrypted(text, arguments), arguments)
    except ValueError as problem:
        return "reject", {"body": text, "signer": "Not available.", "empaid": message_id, "error": str(problem)}
    if signer not in authorised:
        return "reject", {"body": text, "signer": signer, "empaid": message_id, "error": "Signer not in valid DNs list"}
    return "incoming", {"body": body, "signer": signer, "empaid": message_id}
