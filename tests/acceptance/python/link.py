"""A STOMP connection made with `stomp.py`, plain or with a host certificate, and what it received."""

import queue
import threading
import time

import stomp


class Listener(stomp.ConnectionListener):
    def __init__(self):
        self.messages = queue.Queue()
        self.receipts = queue.Queue()
        self.errors = queue.Queue()
        self.gone = threading.Event()

    def on_message(self, headers, body):
        self.messages.put((headers, body))

    def on_receipt(self, headers, body):
        self.receipts.put(headers["receipt-id"])

    def on_error(self, headers, body):
        self.errors.put("%s %s" % (headers.get("message"), body))

    def on_disconnected(self):
        self.gone.set()


def add_arguments(parser):
    parser.add_argument("--broker", required=True, help="HOST:PORT")
    parser.add_argument("--certificate", help="use TLS with this certificate")
    parser.add_argument("--key")
    parser.add_argument("--patience", type=float, default=60)


def connect(arguments, bodies="text"):
    """Connects as SSM does. A busy broker closes what it did not get round to, so it is asked until patience ends."""
    end = time.monotonic() + arguments.patience
    while True:
        try:
            return attempt(arguments, bodies)
        except stomp.exception.ConnectFailedException:
            if time.monotonic() >= end:
                raise
            time.sleep(1)


def attempt(arguments, bodies):
    """Connects once: version 1.1, no host, no login; over TLS the certificate says who we are."""
    host, port = arguments.broker.rsplit(":", 1)
    address = [(host, int(port))]
    connection = stomp.Connection11(address, auto_decode=bodies == "text", reconnect_attempts_max=1)
    if arguments.certificate:
        connection.set_ssl(for_hosts=address, cert_file=arguments.certificate, key_file=arguments.key)
    listener = Listener()
    connection.set_listener("", listener)
    connection.start()
    connection.connect(wait=True)
    return connection, listener
