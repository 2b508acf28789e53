"""Sends messages of listed sites to a route of their own."""

from dataclasses import dataclass

from sesame_plugin import Message, Plugin, export


@dataclass
class Settings:
    """The operator's `[config]`; its annotations become the JSON Schema."""

    sites: list[str]
    route: str


class Sites(Plugin):
    """Sends messages of listed sites to a route of their own."""

    NAME = "{{name}}"
    VERSION = "0.1.0"
    Config = Settings

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        if not config.sites:
            raise ValueError("list at least one site in `sites`")

    def route(self, message: Message) -> list[str]:
        """Names of the channel's routes; none for the default route."""
        lines = message.payload.decode("utf-8", "replace").splitlines()
        sites = {line.removeprefix("Site: ") for line in lines if line.startswith("Site: ")}
        return [self.config.route] if sites and sites <= set(self.config.sites) else []


Lifecycle, Router = export(Sites, "router")
