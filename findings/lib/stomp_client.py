"""A few STOMP steps on stomp.py 4.1.24 for the scripts of this folder: send, count, nack.

    stomp_client.py PORT send DESTINATION COUNT [HEADER:VALUE ...]   sends COUNT messages, each with a receipt; prints the receipts
    stomp_client.py PORT count DESTINATION [SECONDS]                 takes and acknowledges all there is; prints how many
    stomp_client.py PORT nack DESTINATION SECONDS                    answers every delivery with NACK; prints deliveries
"""
import sys
import threading
import time

import stomp


class Listener(stomp.ConnectionListener):
    def __init__(self, connection, answer):
        self.connection, self.answer = connection, answer
        self.receipts, self.deliveries, self.errors, self.last = 0, 0, [], time.monotonic()
        self.changed = threading.Event()

    def on_receipt(self, headers, body):
        self.receipts += 1

    def on_error(self, headers, body):
        self.errors.append(headers.get("message", body))

    def on_message(self, headers, body):
        self.deliveries, self.last = self.deliveries + 1, time.monotonic()
        getattr(self.connection, self.answer)(headers["ack"])


def main(port, what, destination, *more):
    connection = stomp.Connection12([("127.0.0.1", int(port))], vhost="/")
    listener = Listener(connection, "nack" if what == "nack" else "ack")
    connection.set_listener("", listener)
    connection.start()
    connection.connect("guest", "guest", wait=True)
    if what == "send":
        count, headers = int(more[0]), dict(header.split(":", 1) for header in more[1:])
        for number in range(count):
            connection.send(destination, f"message {number}", receipt=f"r{number}", **headers)
        end = time.monotonic() + 20
        while listener.receipts < count and not listener.errors and time.monotonic() < end:
            time.sleep(0.05)
        print(listener.receipts)
    else:
        seconds = float(more[0]) if more else 3
        connection.subscribe(destination, id="1", ack="client-individual", headers={"prefetch-count": "50"})
        end = time.monotonic() + (seconds if what == "nack" else 60)
        while time.monotonic() < end and (what == "nack" or time.monotonic() - listener.last < seconds):
            time.sleep(0.05)
        print(listener.deliveries)
    if listener.errors:
        print("ERROR:", listener.errors[0], file=sys.stderr)
    if what != "nack":
        connection.disconnect(receipt="bye")


main(*sys.argv[1:])
