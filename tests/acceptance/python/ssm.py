"""Stands for SSM on the other end: what it does to a message and what it says on the wire, with `openssl smime`,
`stomp.py` and `dirq`.

    ssm.py send     --queue FOLDER --format dirq|directory [--encrypt-for CERTIFICATE] …
    ssm.py receive  --spool FOLDER --authorised FILE --anchors FOLDER --count N …

The receiver prints one JSON line for each message it stored: {"queue": "incoming"|"reject", "element": NAME}.
"""

import argparse
import json
import os
import queue
import quopri
import re
import subprocess
import sys

import link
from dirq.QueueSimple import QueueSimple
from dirq.queue import Queue
from queues import INCOMING, REJECT


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


def outgoing(arguments):
    """Names and texts of what is queued, and how to remove one."""
    if arguments.format == "dirq":
        elements = QueueSimple(arguments.queue)
        name = elements.first()
        while name:
            if elements.lock(name):
                yield name, elements.get(name).decode("ascii"), lambda: elements.remove(name)
            name = elements.next()
        elements.purge()
        return
    paths = [os.path.join(arguments.queue, name) for name in os.listdir(arguments.queue)]
    for path in sorted(filter(os.path.isfile, paths), key=os.path.getmtime):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        yield os.path.basename(path), text, lambda: os.remove(path)


def send(arguments):
    connection, listener = link.connect(arguments)
    for name, text, remove in outgoing(arguments):
        headers = {"destination": arguments.destination, "receipt": name, "empa-id": name}
        if arguments.persistent:
            headers["persistent"] = "true"
        connection.send(arguments.destination, seal(text, arguments), headers=headers)
        listener.receipts.get(timeout=arguments.patience)
        remove()
        print(name, flush=True)
    connection.disconnect()


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


def receive(arguments):
    queues = {
        "incoming": Queue(os.path.join(arguments.spool, "incoming"), schema=INCOMING),
        "reject": Queue(os.path.join(arguments.spool, "reject"), schema=REJECT),
    }
    connection, listener = link.connect(arguments)
    connection.subscribe(arguments.destination, id="1", ack="auto")
    print(json.dumps({"queue": None, "element": None}), flush=True)
    for _ in range(arguments.count):
        headers, text = listener.messages.get(timeout=arguments.patience)
        name, fields = disposition(text, headers.get("empa-id", "noid"), arguments)
        print(json.dumps({"queue": name, "element": queues[name].add(fields)}), flush=True)
    connection.disconnect()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["send", "receive"])
    parser.add_argument("--destination", required=True)
    parser.add_argument("--host", required=True, help="the host certificate")
    parser.add_argument("--key-file", required=True)
    parser.add_argument("--queue")
    parser.add_argument("--format", choices=["dirq", "directory"], default="dirq")
    parser.add_argument("--encrypt-for")
    parser.add_argument("--persistent", action="store_true")
    parser.add_argument("--spool")
    parser.add_argument("--authorised")
    parser.add_argument("--anchors")
    parser.add_argument("--count", type=int, default=1)
    link.add_arguments(parser)
    arguments = parser.parse_args()
    try:
        {"send": send, "receive": receive}[arguments.action](arguments)
    except queue.Empty:
        sys.exit("nothing came within %s s" % arguments.patience)


if __name__ == "__main__":
    main()
