"""The types of `sesame_plugin`, for mypy, pyright and editors. Those of messages and findings are in `sesame_contract`,
which is generated from `wit/plugin.wit`."""

import dataclasses
import typing

from sesame_contract import (
    Context as Context, Direction as Direction, Finding as Finding, Message as Message, Severity as Severity,
    Signer as Signer,
)

class Invalid(Exception):
    findings: list[Finding]
    def __init__(self, *findings: Finding) -> None: ...

class Retry(Exception):
    reason: str
    after: int | None
    def __init__(self, reason: str, after: int | None = None) -> None: ...

def error(
    code: str, text: str, *, record: int | None = None, field: str | None = None, value: object = None
) -> Finding: ...
def warning(
    code: str, text: str, *, record: int | None = None, field: str | None = None, value: object = None
) -> Finding: ...
def info(
    code: str, text: str, *, record: int | None = None, field: str | None = None, value: object = None
) -> Finding: ...

@dataclasses.dataclass
class Replaced:
    payload: bytes | str
    content_type: str | None = None
    headers: dict[str, str] = ...

@dataclasses.dataclass
class Part(Replaced):
    refused: list[Finding] = ...

@dataclasses.dataclass
class Split:
    parts: list[Part]

@dataclasses.dataclass
class Dropped:
    finding: Finding

# What becomes of a message; None leaves it as it is.
Change: typing.TypeAlias = Replaced | Split | Dropped | None
Findings: typing.TypeAlias = typing.Iterable[Finding] | None

class Plugin:
    NAME: str
    VERSION: str
    Config: type | None
    # A value of the plugin's `Config`.
    config: typing.Any
    def __init__(self, config: typing.Any) -> None: ...

class _Validates(typing.Protocol):
    def validate(self, message: Message, /) -> Findings: ...

class _Transforms(typing.Protocol):
    def transform(self, message: Message, /) -> Change | tuple[Change, Findings]: ...

class _Routes(typing.Protocol):
    def route(self, message: Message, /) -> typing.Iterable[str] | None: ...

_Role: typing.TypeAlias = typing.Literal["validator", "transformer", "router"]

@typing.overload
def export(
    plugin: typing.Callable[[typing.Any], _Validates], role: typing.Literal["validator"], /
) -> tuple[type, type]: ...
@typing.overload
def export(
    plugin: typing.Callable[[typing.Any], _Transforms], role: typing.Literal["transformer"], /
) -> tuple[type, type]: ...
@typing.overload
def export(
    plugin: typing.Callable[[typing.Any], _Routes], role: typing.Literal["router"], /
) -> tuple[type, type]: ...
@typing.overload
def export(plugin: type[Plugin], first: _Role, second: _Role, /, *roles: _Role) -> tuple[typing.Any, ...]: ...

def debug(text: object) -> None: ...
def log_info(text: object) -> None: ...
def warn(text: object) -> None: ...
def log_error(text: object) -> None: ...
