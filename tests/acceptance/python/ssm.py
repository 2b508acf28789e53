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
import sys

import link
from dirq.QueueSimple import QueueSimple
from dirq.queue import Queue
from queues import INCOMING, REJECT
from smime import disposition, seal


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
