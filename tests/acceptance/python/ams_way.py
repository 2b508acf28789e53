"""The Python way over AMS: `openssl` for each message, `argo-ams-library`, one message at a time, as SSM does it.

    ams_way.py send     --folder OUTGOING --encrypt-for CERTIFICATE …
    ams_way.py receive  --folder INCOMING --authorised FILE --anchors FOLDER --count N …

Prints {"messages": N, "seconds": S}: the time from the first message to the last, without the start of Python.
"""

import argparse
import json
import os
import sys
import time

import ams_link
from argo_ams_library import AmsMessage
from smime import disposition, seal


def send(client, arguments):
    names = sorted(os.listdir(arguments.folder))
    for name in names:
        path = os.path.join(arguments.folder, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        message = AmsMessage(data=seal(text, arguments), attributes={"empaid": name})
        client.publish(arguments.topic, message, retry=3, timeout=10)
        os.remove(path)
    return len(names)


def receive(client, arguments):
    stored = 0
    while stored < arguments.count:
        for ack_id, message in client.pull_sub(arguments.subscription, 1, return_immediately=True, timeout=10):
            text = message.get_data().decode("utf-8")
            queue, fields = disposition(text, message.get_attr()["empaid"], arguments)
            if queue != "incoming":
                sys.exit("refused: %s" % fields["error"])
            path = os.path.join(arguments.folder, "%08d" % stored)
            with open(path, "w", encoding="utf-8") as file:
                file.write(fields["body"])
            client.ack_sub(arguments.subscription, [ack_id], timeout=10)
            stored += 1
    return stored


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["send", "receive"])
    for name in ["server", "api", "authn", "project", "topic", "subscription", "host", "key-file", "folder"]:
        parser.add_argument("--" + name, required=True)
    for name in ["encrypt-for", "authorised", "anchors"]:
        parser.add_argument("--" + name)
    parser.add_argument("--count", type=int, default=0)
    arguments = parser.parse_args()
    client = ams_link.connect(
        arguments.server, arguments.api, arguments.authn, arguments.host, arguments.key_file, arguments.project
    )
    begun = time.monotonic()
    messages = {"send": send, "receive": receive}[arguments.action](client, arguments)
    print(json.dumps({"messages": messages, "seconds": time.monotonic() - begun}))


if __name__ == "__main__":
    main()
