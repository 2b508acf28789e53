"""A stub of the ARGO Messaging Service and of its authentication service, on one loopback port.

It makes a certificate for localhost in the current folder, `stub.pem` and `stub.key`, which is also good for a client,
and has `requests` trust it.
"""

import json
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CERTIFICATE, KEY = "stub.pem", "stub.key"


class Stub:
    """`requests` has the path of every request, `messages` every message that was published.

    `faults` holds what happens after the next publishes: "lost" closes the connection without an answer, a number is
    the status of the answer. The messages are stored for "lost" only.
    """

    def __init__(self):
        self.requests, self.messages, self.faults = [], [], []
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", KEY, "-out", CERTIFICATE]
        command += ["-subj", "/O=Example/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "30"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        os.environ["REQUESTS_CA_BUNDLE"] = CERTIFICATE
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost"
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                stub.requests.append(self.path)
                self.answer(200, {"token": "of-the-stub"})

            def do_POST(self):
                stub.requests.append(self.path)
                published = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
                fault = stub.faults.pop(0) if stub.faults else None
                if fault in (None, "lost"):
                    stub.messages += published
                ids = [str(len(stub.messages) - number) for number in range(len(published))]
                if fault is None:
                    self.answer(200, {"messageIds": ids[::-1]})
                elif fault != "lost":
                    self.answer(fault, {"error": {"code": fault, "message": "no", "status": "INTERNAL_SERVER_ERROR"}})

            def answer(self, status, content):
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
