"""Publishes stdin to AMS as the accounting publisher of ARC 6 and 7 does.

    arc.py --host H --api PORT --authn PORT --certificate C --key K --project P --topic T

Signs with `openssl smime` in text mode, names the message by the time in UTC, gives the token in the address of the
request and comes to both ports with the host certificate.
"""

import argparse
import base64
import datetime
import http.client
import json
import os
import ssl
import subprocess
import sys


def main():
    parser = argparse.ArgumentParser()
    for name in ["host", "api", "authn", "certificate", "key", "project", "topic"]:
        parser.add_argument("--" + name, required=True)
    arguments = parser.parse_args()
    context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    context.load_cert_chain(arguments.certificate, arguments.key)

    def ask(port, method, path, body=None):
        connection = http.client.HTTPSConnection(arguments.host, int(port), context=context, timeout=30)
        connection.request(method, path, body, {"Content-Type": "application/json; charset=UTF-8"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            sys.exit("%d %s: %r" % (answer.status, answer.reason, content))
        return json.loads(content)

    path = "/v1/service-types/ams/hosts/%s:authx509" % arguments.host
    token = ask(arguments.authn, "GET", path)["token"]
    sign = ["openssl", "smime", "-sign", "-text", "-inkey", arguments.key, "-signer", arguments.certificate]
    text = sys.stdin.buffer.read().decode()
    signed = subprocess.run(sign, input=text, encoding="utf-8", stdout=subprocess.PIPE, check=True).stdout
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d%H%M%S")
    data = base64.b64encode(signed.encode()).decode()
    message = {"attributes": {"empaid": "%s/%s" % (now[:8], now)}, "data": data}
    path = "/v1/projects/%s/topics/%s:publish?key=%s" % (arguments.project, arguments.topic, token)
    ask(arguments.api, "POST", path, json.dumps({"messages": [message]}))
    print(message["attributes"]["empaid"])


if __name__ == "__main__":
    main()
