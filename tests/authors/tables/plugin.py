"""Refuses messages of sites that a lookup table does not have."""

from componentize_py_types import Err
from sesame_plugin import Plugin, error, export, warning
from wit_world.imports import tables


class Lookups(Plugin):
    """Refuses messages of sites that a lookup table does not have."""

    VERSION = "1"

    def __init__(self, config):
        super().__init__(config)
        try:
            tables.contains("sites", "")
        except Err as refused:
            raise ValueError(refused.value) from None

    def validate(self, message):
        row = tables.get("sites", message.payload.decode().strip())
        if row is None:
            return [error("site.unknown", "is not in the table")]
        return [warning("site.country", dict(row)["country"])]


Lifecycle, Validator = export(Lookups, "validator")
