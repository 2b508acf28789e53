"""What a plugin for Sesame is written with in Python.

A plugin is a class with a docstring, a `VERSION`, perhaps a dataclass `Config`, and one method for each role of
`wit/world.wit`: `validate`, `transform`, `route`. The last line of its module makes it the component's:

    Lifecycle, Validator = export(Sites, "validator")

Every message gets a fresh instance: what a plugin keeps is gone with it. There are no files, network, clocks or random
numbers, nor anything to import from: imports belong at the top of the module. "Now" is `message.context.received_at`, milliseconds since 1970.
"""

import dataclasses
import json
import types as python_types
import typing

from componentize_py_types import Err
from wit_world.exports import lifecycle
from wit_world.imports import log as _log
from wit_world.imports.types import (
    Context, Delay, Direction, Failure_Internal, Failure_Invalid, Failure_Retry, Finding, Message, Severity, Signer,
)

# Everything is imported while the component is built: when it runs there are no files to import from.
try:
    from wit_world.exports import transformer as _transformer
except ImportError:
    _transformer = None

__all__ = [
    "Context", "Direction", "Dropped", "Finding", "Invalid", "Message", "Part", "Plugin", "Replaced", "Retry",
    "Severity", "Signer", "Split", "debug", "error", "export", "info", "log_error", "log_info", "warn", "warning",
]


class Invalid(Exception):
    """The message is bad and stays bad; the same as returning these findings."""

    def __init__(self, *findings):
        super().__init__("; ".join(finding.text for finding in findings))
        self.findings = list(findings)


class Retry(Exception):
    """The message cannot be judged yet: it is tried again after at least `after` milliseconds."""

    def __init__(self, reason, after=None):
        super().__init__(reason)
        self.reason, self.after = reason, after


def _finding(severity, code, text, record, field, value):
    value = None if value is None else str(value)
    return Finding(severity, code, text, record, field, value, [])


def error(code, text, *, record=None, field=None, value=None):
    """A finding that makes the message invalid. Records count from 1; what was in the message belongs into `value`,
    which the host keeps only beside the message."""
    return _finding(Severity.ERROR, code, text, record, field, value)


def warning(code, text, *, record=None, field=None, value=None):
    """A finding about a message that is good enough."""
    return _finding(Severity.WARNING, code, text, record, field, value)


def info(code, text, *, record=None, field=None, value=None):
    """A note."""
    return _finding(Severity.INFO, code, text, record, field, value)


@dataclasses.dataclass
class Replaced:
    """New content for the message. `headers` are STOMP headers to set; None for the media type: as it was."""

    payload: bytes
    content_type: typing.Optional[str] = None
    headers: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Part(Replaced):
    """One part of a split; with findings in `refused` it goes to the reject queue."""

    refused: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Split:
    """Several messages in place of one, in this order: all of them take effect or none does."""

    parts: list


@dataclasses.dataclass
class Dropped:
    """The message ends here on purpose."""

    finding: Finding


class Plugin:
    """Base of a plugin. `Config` is a dataclass; `self.config` is one, made from the operator's `[config]`."""

    NAME = ""
    VERSION = "0"
    Config: typing.Optional[type] = None

    def __init__(self, config):
        self.config = config


def debug(text):
    """Writes to the plugin's log, for the author."""
    _log.write(_log.Level.DEBUG, str(text))


def log_info(text):
    """Writes to the plugin's log, about normal work."""
    _log.write(_log.Level.INFO, str(text))


def warn(text):
    """Writes to the plugin's log, for an operator who should look."""
    _log.write(_log.Level.WARN, str(text))


def log_error(text):
    """Writes to the plugin's log, for an operator who must act."""
    _log.write(_log.Level.ERROR, str(text))


_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _schema_of(kind):
    """JSON Schema of one annotation: str, int, float, bool, list[...], dict[str, ...], Optional[...], a dataclass."""
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if dataclasses.is_dataclass(kind):
        return _object_schema(kind)
    if origin is list:
        return {"type": "array", "items": _schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    if origin in (typing.Union, python_types.UnionType):
        return _schema_of(next(other for other in arguments if other is not type(None)))
    return {}


def _is_required(field):
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _object_schema(config):
    kinds = typing.get_type_hints(config)
    fields = dataclasses.fields(config)
    return {
        "type": "object",
        "properties": {field.name: _schema_of(kinds[field.name]) for field in fields},
        "required": [field.name for field in fields if _is_required(field)],
        "additionalProperties": False,
    }


def _read(kind, value, key):
    """The value as its annotation wants it. The host has compared it with the schema; this makes dataclasses of tables
    and catches what no schema was checked for."""
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_object(kind, value, key)
    if origin in (typing.Union, python_types.UnionType):
        kind = next(other for other in arguments if other is not type(None))
        return None if value is None else _read(kind, value, key)
    if origin is list and isinstance(value, list):
        return [_read(arguments[0], item, f"{key}[{at}]") for at, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {name: _read(arguments[1], item, f"{key}.{name}") for name, item in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    if kind in _SIMPLE and type(value) is not kind or origin in (list, dict):
        raise ValueError(f"{key} must be {_schema_of(kind)['type']}, not {json.dumps(value)}")
    return value


def _read_object(config, table, key):
    if not isinstance(table, dict):
        raise ValueError(f"{key} must be a table")
    kinds = typing.get_type_hints(config)
    unknown = sorted(set(table) - {field.name for field in dataclasses.fields(config)})
    missing = [f.name for f in dataclasses.fields(config) if _is_required(f) and f.name not in table]
    if unknown or missing:
        names, word = (unknown, "unknown") if unknown else (missing, "missing")
        raise ValueError(f"{word} key {names[0]!r}")
    return config(**{name: _read(kinds[name], value, name) for name, value in table.items()})


def _place(error):
    """The exception in one line with the place where it was raised. `traceback` would look for the source."""
    place, step = "", error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
        if file != "sesame_plugin.py":
            place = f"{file}, line {step.tb_lineno}: "
        step = step.tb_next
    return f"{place}{type(error).__name__}: {error}"


def _invalid(findings):
    return Err(Failure_Invalid(list(findings)))


def _ask(call, message):
    """Calls the plugin; whatever it raises becomes a failure of the contract."""
    try:
        return call(message)
    except Err:
        raise
    except Invalid as refused:
        raise _invalid(refused.findings) from None
    except Retry as later:
        raise Err(Failure_Retry(Delay(later.after, later.reason))) from None
    except BaseException as failed:
        raise Err(Failure_Internal(_place(failed))) from None


def _checked(findings):
    findings = list(findings or [])
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise _invalid(findings)
    return findings


def _transformed(answer):
    made = _transformer

    def output(part):
        return made.Output(bytes(part.payload), part.content_type, list(part.headers.items()), [])

    change, findings = answer if isinstance(answer, tuple) else (answer, [])
    if change is None:
        verdict = made.Verdict_Unchanged()
    elif isinstance(change, Split):
        parts = [made.Part(output(part), getattr(part, "refused", None) or None) for part in change.parts]
        verdict = made.Verdict_Split(parts)
    elif isinstance(change, Dropped):
        verdict = made.Verdict_Dropped(change.finding)
    elif isinstance(change, Replaced):
        verdict = made.Verdict_Replaced(output(change))
    else:
        raise TypeError(f"transform returned {type(change).__name__}: return None, Replaced, Split or Dropped")
    return made.Transformed(verdict, _checked(findings))


def _is_function(plugin, name):
    """Whether `sesame plugin build` compares this with the roles that are exported."""
    return not name.startswith("_") and name != "Config" and callable(getattr(plugin, name))


def export(plugin, *roles):
    """The classes that the component exports: `Lifecycle`, then one for each role that is named."""
    made = []

    class Lifecycle:
        def describe(self):
            summary = (plugin.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
            schema = None if plugin.Config is None else json.dumps(_object_schema(plugin.Config))
            functions = [("functions", " ".join(name for name in dir(plugin) if _is_function(plugin, name)))]
            return lifecycle.Description(plugin.NAME or plugin.__name__, plugin.VERSION, summary, schema, functions)

        def init(self, config):
            try:
                table = json.loads(config)
                if plugin.Config is None and table:
                    raise ValueError("this plugin takes no configuration")
                read = None if plugin.Config is None else _read_object(plugin.Config, table, "config")
                made[:] = [plugin(read)]
            except ValueError as wrong:
                raise Err(str(wrong)) from None
            except BaseException as failed:
                raise Err(_place(failed)) from None

    class Validator:
        def validate(self, message):
            return _ask(lambda message: _checked(made[0].validate(message)), message)

    class Transformer:
        def transform(self, message):
            return _ask(lambda message: _transformed(made[0].transform(message)), message)

    class Router:
        def route(self, message):
            return _ask(lambda message: list(made[0].route(message) or []), message)

    known = {"validator": Validator, "transformer": Transformer, "router": Router}
    return tuple([Lifecycle] + [known[role] for role in roles])
