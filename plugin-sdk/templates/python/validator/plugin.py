"""Refuses messages of sites that are not listed."""

from dataclasses import dataclass

from sesame_plugin import Finding, Message, Plugin, error, export


@dataclass
class Settings:
    """The operator's `[config]`; its annotations become the JSON Schema."""

    sites: list[str]


class Sites(Plugin):
    """Refuses messages of sites that are not listed."""

    NAME = "{{name}}"
    VERSION = "0.1.0"
    Config = Settings

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        if not config.sites:
            raise ValueError("list at least one site in `sites`")

    def validate(self, message: Message) -> list[Finding]:
        """Findings; one of severity error makes the message invalid. Records end with a line `%%`."""
        findings: list[Finding] = []
        record, named = 1, False
        for line in message.payload.decode("utf-8", "replace").splitlines():
            if line == "%%":
                record += 1
            if line.startswith("Site: "):
                named, site = True, line.removeprefix("Site: ")
                if site not in self.config.sites:
                    findings.append(
                        error("site.unknown", "is not a listed site", record=record, field="Site", value=site)
                    )
        if not named:
            findings.append(error("site.missing", "no record names its site"))
        return findings


Lifecycle, Validator = export(Sites, "validator")
