"""A client of AMS made with `argo-ams-library`, used as SSM uses it.

    ams.py --host H --api PORT --authn PORT --certificate C --key K --project P --topic T --subscription S

Fetches a token with the certificate, publishes the lines of stdin as one message each with an `empaid`, pulls them back
and acknowledges them; prints the message ids it got for them, then each message it pulled, as JSON lines.
"""

import argparse
import json
import sys

import ams_link
from argo_ams_library import AmsMessage


def main():
    parser = argparse.ArgumentParser()
    for name in ["host", "api", "authn", "certificate", "key", "project", "topic", "subscription"]:
        parser.add_argument("--" + name, required=True)
    arguments = parser.parse_args()
    client = ams_link.connect(
        arguments.host, arguments.api, arguments.authn, arguments.certificate, arguments.key, arguments.project
    )
    if not client.has_topic(arguments.topic) or not client.has_sub(arguments.subscription):
        sys.exit("no topic or no subscription")
    lines = sys.stdin.read().splitlines()
    messages = [AmsMessage(data=line, attributes={"empaid": "0000/%d" % n}) for n, line in enumerate(lines)]
    print(json.dumps(client.publish(arguments.topic, messages, timeout=10)["messageIds"]))
    pulled = client.pull_sub(arguments.subscription, len(lines), return_immediately=True, timeout=10)
    for ack_id, message in pulled:
        body = message.get_data().decode()
        print(json.dumps({"ackId": ack_id, "id": message.get_msgid(), "body": body, **message.get_attr()}))
    client.ack_sub(arguments.subscription, [ack_id for ack_id, _ in pulled], timeout=10)


if __name__ == "__main__":
    main()
