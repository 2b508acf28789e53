"""Does what the message says, in every role: for the tests of the helper."""

from sesame_plugin import Dropped, Invalid, Part, Plugin, Replaced, Retry, Split, error, export, info, warning


class Obedient(Plugin):
    """Does what the message says."""

    NAME = "obedient"
    VERSION = "0.1.0"

    def validate(self, message):
        word = message.payload.decode().strip()
        if word == "give up":
            raise RuntimeError("out of cheese")
        if word == "later":
            raise Retry("not yet", after=5000)
        if word == "invalid":
            raise Invalid(error("x.bad", "is bad", record=3, field="F", value="größer"))
        return [warning("x.odd", "is odd")] if word == "warn" else []

    def transform(self, message):
        word = message.payload.decode().strip()
        if word == "replace":
            return Replaced("größer\n".encode(), content_type="text/x-new", headers={"x-kind": "new"})
        if word == "split":
            return Split([Part(b"one"), Part(b"two", refused=[error("x.part", "is bad")])]), [info("x.note", "in two")]
        return Dropped(info("x.unwanted", "is not wanted")) if word == "drop" else None

    def route(self, message):
        return ["cloud", "default"] if message.payload == b"route\n" else []


Lifecycle, Validator, Transformer, Router = export(Obedient, "validator", "transformer", "router")
