"""Directory queues written and read by the `dirq` library, as the programs around the messenger do it.

    queues.py add FOLDER            one element per line of JSON on stdin ({"body": base64}); prints the names
    queues.py outgoing FOLDER       the elements of a QueueSimple, as JSON lines
    queues.py take FOLDER SCHEMA    locks, reads and removes every element of a Queue, as JSON lines
"""

import base64
import json
import sys

from dirq.QueueSimple import QueueSimple
from dirq.queue import Queue

INCOMING = {"body": "string", "signer": "string", "empaid": "string"}
REJECT = {"body": "string", "signer": "string?", "empaid": "string?", "error": "string"}
# What APEL's loader declares when it reads the incoming queue.
LOADER = {"body": "string", "signer": "string", "empaid": "string?", "error": "string?"}
SCHEMAS = {"incoming": INCOMING, "reject": REJECT, "loader": LOADER}


def as_text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value


def add(folder):
    queue = QueueSimple(folder)
    for line in sys.stdin:
        print(queue.add(base64.b64decode(json.loads(line)["body"])))


def outgoing(folder):
    queue = QueueSimple(folder)
    name = queue.first()
    while name:
        if queue.lock(name):
            print(json.dumps({"element": name, "body": base64.b64encode(queue.get(name)).decode()}))
            queue.unlock(name)
        name = queue.next()


def take(folder, schema):
    queue = Queue(folder, schema=SCHEMAS[schema])
    name = queue.first()
    while name:
        if queue.lock(name):
            fields = {key: as_text(value) for key, value in queue.get(name).items()}
            print(json.dumps({"element": name, **fields}))
            queue.remove(name)
        name = queue.next()


if __name__ == "__main__":
    {"add": add, "outgoing": outgoing, "take": take}[sys.argv[1]](*sys.argv[2:])
