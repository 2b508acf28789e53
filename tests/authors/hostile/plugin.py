"""Reads a message in every way there is and quotes all of it back, in findings, headers, content and log lines."""

import copy
import json
import xml.dom.expatbuilder
import xml.dom.minidom
import xml.etree.ElementTree

from sesame_plugin import Part, Plugin, Split, debug, error, export, info, warning


def read(payload):
    """What the message says, by the reader that its first character chooses; JSON or XML that is none raises."""
    start = payload.lstrip()[:1]
    if start in (b"{", b"["):
        document = json.loads(payload)
        json.dumps(document)
        copy.deepcopy(document)
        return document.get("Site", document) if isinstance(document, dict) else document
    if start == b"<":
        xml.dom.minidom.parseString(payload if len(payload) < 20000 else b"<a/>").toxml()
        return "".join(xml.etree.ElementTree.fromstring(payload).itertext())
    return payload.decode("utf-8", "surrogateescape")


class Hostile(Plugin):
    """Quotes a message."""

    NAME = "hostile"
    VERSION = "0.1.0"

    def validate(self, message):
        if message.payload.startswith(b"echo:"):
            return [warning("x.echo", "goes on")]
        value = read(message.payload)
        debug(value)
        text = str(value)
        lines = [error(line, line, record=len(line), field=line, value=line) for line in text.splitlines()]
        return lines + [error("x.read", text, record=-1, field=text, value=value), error(text, "is read", value=value)]

    def transform(self, message):
        if not message.payload.startswith(b"echo:"):
            return None
        value = read(message.payload[5:])
        text = str(value) or "nothing"
        parts = [Part(text, headers={"x-value": text}), Part("x", refused=[error(text, text, value=value)])]
        return Split(parts), [info("x.note", text, field=text)] * 300


Lifecycle, Validator, Transformer = export(Hostile, "validator", "transformer")
