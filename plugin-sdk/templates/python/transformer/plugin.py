"""Gives a site that was renamed its new name."""

from dataclasses import dataclass

from sesame_plugin import Message, Plugin, Replaced, export


@dataclass
class Settings:
    """The operator's `[config]`; its annotations become the JSON Schema."""

    old: str
    new: str


class Rename(Plugin):
    """Gives a site that was renamed its new name."""

    NAME = "{{name}}"
    VERSION = "0.1.0"
    Config = Settings

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        if not config.old or not config.new:
            raise ValueError("name the site in `old` and `new`")
        self.old, self.new = f"Site: {config.old}".encode(), f"Site: {config.new}".encode()

    def transform(self, message: Message) -> Replaced | None:
        """The new content; None leaves the message as it is."""
        lines = message.payload.split(b"\n")
        if self.old not in lines:
            return None
        return Replaced(b"\n".join(self.new if line == self.old else line for line in lines))


Lifecycle, Transformer = export(Rename, "transformer")
