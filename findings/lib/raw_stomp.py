"""Frames of STOMP 1.2 as they are: no library between a finding and the broker."""

import socket


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.buffer = b""
        self.say("CONNECT", {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"})
        self.hear()

    def say(self, command, headers, body=b""):
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        self.socket.sendall(f"{command}\n{lines}\n".encode() + body + b"\0")

    def hear(self, seconds=10):
        """The next frame as (command, headers, body); None where none comes in time or the broker has closed."""
        self.socket.settimeout(seconds)
        try:
            while b"\0" not in self.buffer:
                data = self.socket.recv(65536)
                if not data:
                    return None
                self.buffer += data
        except socket.timeout:
            return None
        frame, _, self.buffer = self.buffer.partition(b"\0")
        head, _, body = frame.lstrip(b"\n").decode().partition("\n\n")
        command, *lines = head.split("\n")
        return command, dict(line.split(":", 1) for line in lines), body

    def hear_all(self, seconds=1):
        frames = []
        while frame := self.hear(seconds):
            frames.append(frame)
        return frames

    def send(self, destination, body=b"x", **headers):
        """A persistent SEND; the command of the answer."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        own = {"destination": destination, "persistent": "true", "receipt": "sent", "content-length": len(body)}
        self.say("SEND", own | names, body)
        return (self.hear() or ("nothing",))[0]

    def subscribe(self, destination, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.say("SUBSCRIBE", {"id": 1, "destination": destination, "receipt": "subscribed"} | names)
