"""A plain `stomp.py` client, for putting any bytes into a queue and taking them out again.

    client.py send    --destination D    JSON lines on stdin: {"headers": {…}, "body": base64}; waits for each receipt
    client.py take    --destination D --count N    prints N messages as JSON lines, acknowledging each
    client.py browse  --destination D    the number of messages that wait (ActiveMQ)
"""

import argparse
import base64
import json
import queue
import sys
import uuid

import link


def send(arguments):
    connection, listener = link.connect(arguments, bodies="bytes")
    for line in sys.stdin:
        message = json.loads(line)
        receipt = str(uuid.uuid4())
        headers = {"persistent": "true", **message["headers"], "receipt": receipt}
        connection.send(arguments.destination, base64.b64decode(message["body"]), headers=headers)
        answer = listener.receipts.get(timeout=arguments.patience)
        if answer != receipt:
            sys.exit("receipt %s for another frame" % answer)
    connection.disconnect()


def take(arguments):
    connection, listener = link.connect(arguments, bodies="bytes")
    connection.subscribe(arguments.destination, id="1", ack="client-individual", headers={"prefetch-count": "10"})
    for _ in range(arguments.count):
        headers, body = listener.messages.get(timeout=arguments.patience)
        connection.ack(headers["message-id"], "1")
        body = body if isinstance(body, bytes) else body.encode("utf-8")
        print(json.dumps({"headers": headers, "body": base64.b64encode(body).decode()}), flush=True)
    connection.disconnect(receipt="bye")
    listener.receipts.get(timeout=arguments.patience)


def browse(arguments):
    connection, listener = link.connect(arguments, bodies="bytes")
    connection.subscribe(arguments.destination, id="1", ack="auto", headers={"browser": "true"})
    count = 0
    while True:
        headers, _ = listener.messages.get(timeout=arguments.patience)
        if headers.get("browser") == "end":
            break
        count += 1
    connection.disconnect()
    print(count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["send", "take", "browse"])
    parser.add_argument("--destination", required=True)
    parser.add_argument("--count", type=int, default=1)
    link.add_arguments(parser)
    arguments = parser.parse_args()
    try:
        {"send": send, "take": take, "browse": browse}[arguments.action](arguments)
    except queue.Empty:
        sys.exit("nothing came within %s s" % arguments.patience)


if __name__ == "__main__":
    main()
