"""Helper for Sesame plugins in Python.

A plugin is a class with a docstring, a `VERSION`, perhaps a dataclass `Config`, and one method for each role of
`wit/world.wit`: `validate`, `transform`, `route`. The last line of its module makes it the component's:

    Lifecycle, Validator = export(Sites, "validator")

Every message gets a fresh instance: a plugin cannot keep state. The clock shows the message's `received_at`, random
numbers are the same on every attempt, there are no files and no network; what is printed goes to the plugin's log. Imports
belong at the top of a module: when the plugin runs there is nothing to import from.

What is in a message never makes the plugin fail here: a message that cannot be read is invalid (see `_ask`), and returned
text is made fit for the host, which accepts only well-formed Unicode (see `_text`).
"""

import dataclasses
import encodings
import gc
import importlib
import itertools
import json
import linecache
import operator
import os
import pkgutil
import re
import sys
import types as python_types
import typing

from componentize_py_types import Err
from wit_world.exports import lifecycle
from wit_world.imports import log as _log
from wit_world.imports.types import (
    Context, Delay, Direction, Failure_Internal, Failure_Invalid, Failure_Retry, Finding, Message, Severity, Signer,
)

# Everything is imported while the component is built: when it runs there are no files to import from. That goes for what
# the standard library itself imports only when it is called: `strptime` its parser, `decode` its codec.
_LATE = ["_strptime", "calendar", "importlib.resources", "locale", "stringprep", "tokenize", "traceback", "unicodedata", "warnings"]
for _name in _LATE + ["encodings." + module.name for module in pkgutil.iter_modules(encodings.__path__)]:
    try:
        importlib.import_module(_name)
    except ImportError:
        pass  # A codec of another system.
try:
    from wit_world.exports import transformer as _transformer
except ImportError:
    _transformer = None

__all__ = [
    "Context", "Direction", "Dropped", "Finding", "Invalid", "Message", "Part", "Plugin", "Replaced", "Retry",
    "Severity", "Signer", "Split", "debug", "error", "export", "info", "log_error", "log_info", "warn", "warning",
]


class Invalid(Exception):
    """The message is invalid; the same as returning these findings."""

    def __init__(self, *findings):
        super().__init__("; ".join(finding.text for finding in findings))
        self.findings = list(findings)


class Retry(Exception):
    """The message cannot be decided on yet: it is tried again after at least `after` milliseconds."""

    def __init__(self, reason, after=None):
        super().__init__(reason)
        self.reason, self.after = reason, after


# Characters that the host keeps of a finding's code, text, field and value, of a log line, and how many findings.
_CODE, _SENTENCE, _FIELD, _VALUE, _LINE, _FINDINGS = 128, 1000, 200, 1000, 2000, 200
_U32 = 2**32 - 1
# Half of a pair of surrogates, which JSON can write alone and UTF-8 cannot.
_SURROGATE = re.compile("[\ud800-\udfff]")
# What no transport header can contain, and the size limit of its value in bytes.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_HEADER = 4096


def _text(value, most=None):
    """Text that the host takes: single surrogates become U+FFFD; with `most`, one character more than is kept, so that
    the host shows that it was cut."""
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # a whole number of more digits than Python writes
        text = f"<{type(value).__name__}>"
    return _SURROGATE.sub("\ufffd", text if most is None else text[: most + 1])


def _optional(value, most):
    return None if value is None else _text(value, most)


def _number(value, least):
    """A number for a field of 32 bits; None for anything else."""
    return value if isinstance(value, int) and least <= value <= _U32 else None


def _finding(severity, code, text, record, field, value):
    record, field = _number(record, 1), _optional(field, _FIELD)
    return Finding(severity, _text(code, _CODE), _text(text, _SENTENCE), record, field, _optional(value, _VALUE), [])


def _fit(found):
    """A finding as the host accepts it, whether the plugin or the helper made it."""
    return _finding(found.severity, found.code, found.text, found.record_number, found.field, found.value)


def _findings(given):
    """As many findings as the host keeps; the last one counts the others."""
    given = list(given or [])
    if len(given) <= _FINDINGS:
        return [_fit(found) for found in given]
    kept, others = given[: _FINDINGS - 1], given[_FINDINGS - 1 :]
    weights = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    severity = next(weight for weight in weights if any(found.severity is weight for found in others))
    text = f"{len(others)} more findings are not listed"
    return [_fit(found) for found in kept] + [_finding(severity, "message.more-findings", text, None, None, None)]


def error(code, text, *, record=None, field=None, value=None):
    """A finding that makes the message invalid. Records count from 1; what was in the message belongs into `value`,
    which the host keeps only beside the message."""
    return _finding(Severity.ERROR, code, text, record, field, value)


def warning(code, text, *, record=None, field=None, value=None):
    """A finding about a message that is accepted."""
    return _finding(Severity.WARNING, code, text, record, field, value)


def info(code, text, *, record=None, field=None, value=None):
    """A note."""
    return _finding(Severity.INFO, code, text, record, field, value)


@dataclasses.dataclass
class Replaced:
    """New content for the message, bytes or text. `headers` are STOMP headers to set; None for the media type: as it
    was."""

    payload: typing.Union[bytes, str]
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


def _import_no_more():
    """From now on an import of what was not imported before raises, and does not look for a file. A message may ask for
    one by the name of its encoding."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "__name__", "") != "PathFinder"]


class Plugin:
    """Base of a plugin. `Config` is a dataclass; `self.config` is one, made from the operator's `[config]`."""

    NAME = ""
    VERSION = "0"
    Config: typing.Optional[type] = None

    def __init__(self, config):
        self.config = config


def debug(text):
    """Writes to the plugin's log, for the author."""
    _log.write(_log.Level.DEBUG, _text(text, _LINE))


def log_info(text):
    """Writes to the plugin's log, about normal work."""
    _log.write(_log.Level.INFO, _text(text, _LINE))


def warn(text):
    """Writes to the plugin's log, for an operator who should look."""
    _log.write(_log.Level.WARN, _text(text, _LINE))


def log_error(text):
    """Writes to the plugin's log, for an operator who must act."""
    _log.write(_log.Level.ERROR, _text(text, _LINE))


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


_HINTS = {}


def _hints(config):
    """The annotations of a dataclass. Those of the plugin's are read while the component is built."""
    if config not in _HINTS:
        _HINTS[config] = typing.get_type_hints(config)
    return _HINTS[config]


def _object_schema(config):
    kinds = _hints(config)
    fields = dataclasses.fields(config)
    return {
        "type": "object",
        "properties": {field.name: _schema_of(kinds[field.name]) for field in fields},
        "required": [field.name for field in fields if _is_required(field)],
        "additionalProperties": False,
    }


def _read(kind, value, key):
    """The value in the type of its annotation. The host has validated it with the schema; this makes dataclasses of tables
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
    kinds = _hints(config)
    unknown = sorted(set(table) - {field.name for field in dataclasses.fields(config)})
    missing = [f.name for f in dataclasses.fields(config) if _is_required(f) and f.name not in table]
    if unknown or missing:
        names, word = (unknown, "unknown") if unknown else (missing, "missing")
        raise ValueError(f"{word} key {names[0]!r}")
    return config(**{name: _read(kinds[name], value, name) for name, value in table.items()})


_SOURCES = {}


def _keep_sources():
    """Keeps the lines of the plugin's own modules, which are not there to be read when it runs."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if file and not file.startswith(os.path.dirname(json.__path__[0]) + "/") and not file.endswith(__name__ + ".py"):
            _SOURCES[file] = linecache.getlines(file)


def _call(step):
    """The part of the source line that this step of a traceback executed."""
    code = step.tb_frame.f_code
    positions = list(code.co_positions())[step.tb_lasti // 2]
    line, last, start, end = positions
    lines = _SOURCES.get(code.co_filename, [])
    if line is None or not 0 < line <= len(lines):
        return ""
    text = lines[line - 1]
    if line == last and start is not None:
        text = text.encode()[start:end].decode("utf-8", "replace")
    return f", in {text.strip()}"


def _place(error):
    """The exception in one line with the place where it was raised, and the call. `traceback` would look for the source."""
    place, call, step = "", "", error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
        if step.tb_frame.f_code.co_filename in _SOURCES or not place and file != "sesame_plugin.py":
            place, call = f"{file}, line {step.tb_lineno}: ", _call(step)
        step = step.tb_next
    hint = "; import it at the top of the module" if isinstance(error, ModuleNotFoundError) else ""
    return f"{place}{type(error).__name__}: {_text(error)}{hint}{call}"


# How deep JSON and XML may nest. The interpreter's own readers would go on until the host's stack ends, which no plugin
# can catch; no record nests deeper than ten.
_DEEPEST = 200
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]++")
# What does not end takes the rest: looking for its end at each of many beginnings would take quadratic time.
_MARKUP = re.compile(
    r"""<(?:!--.*?(?:-->|\Z)|!\[CDATA\[.*?(?:\]\]>|\Z)|\?.*?(?:\?>|\Z)"""
    r"""|/?[^<>"'!?](?:[^<>"']++|"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))*+(?:>|\Z))""",
    re.DOTALL,
)
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


def _json_is_deep(text):
    """Whether brackets nest too deeply in what would be read as JSON."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    rest = _NO_BRACKET.sub("", _STRING.sub("", text))

    def depths():
        return itertools.accumulate(map(_STEP.__getitem__, rest), initial=0)

    # Above the lowest depth before it, for a reader may begin behind brackets that close nothing. All at C's speed.
    return max(map(operator.sub, depths(), itertools.accumulate(depths(), min))) > _DEEPEST


def _xml_is_deep(text):
    """Whether elements nest too deeply in what would be read as XML."""
    if text.count("<") <= _DEEPEST:
        return False
    depth = 0
    for found in _MARKUP.finditer(text):
        tag = found.group()
        if tag.startswith("</"):
            depth -= 1
        elif not tag.startswith(("<!", "<?")) and not tag.endswith("/>"):
            depth += 1
            if depth > _DEEPEST:
                return True
    return False


def _too_deep():
    return Invalid(error("message.too-deep", f"nests deeper than {_DEEPEST} levels"))


_raw_decode = json.JSONDecoder.raw_decode


def _bounded_decode(self, s, idx=0):
    if _json_is_deep(s):
        raise _too_deep()
    return _raw_decode(self, s, idx)


# For `json.load`, `json.loads` and every decoder made of the class.
json.JSONDecoder.raw_decode = _bounded_decode


def _check_xml(data):
    # Latin-1 keeps every byte apart, and those of markup are ASCII.
    if _xml_is_deep(data if isinstance(data, str) else bytes(data).decode("latin-1")):
        raise _too_deep()


def _bound_xml():
    """Bounds what the plugin reads by ElementTree, where it imported that."""
    tree = sys.modules.get("xml.etree.ElementTree")
    if tree is None:
        return

    class XMLParser(tree.XMLParser):
        def feed(self, data):
            _check_xml(data)
            return super().feed(data)

    tree.XMLParser = XMLParser


def _unreadable(failed):
    """The finding about a message that one of the interpreter's own readers could not read; None if it is anything else
    that was raised."""
    if isinstance(failed, UnicodeError):
        return error("message.not-utf8", "is not well-formed text in the encoding it was read in")
    if isinstance(failed, json.JSONDecodeError):
        return error("message.malformed", f"is not JSON: {failed.msg} (line {failed.lineno}, column {failed.colno})")
    expat = sys.modules.get("xml.parsers.expat")
    tree = sys.modules.get("xml.etree.ElementTree")
    if expat and isinstance(failed, expat.ExpatError) or tree and isinstance(failed, tree.ParseError):
        return error("message.malformed", f"is not XML: {failed}")
    # Also: a number of too many digits, an encoding that there is not.
    step = failed.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    module = step.tb_frame.f_globals.get("__name__", "") if step is not None else ""
    reads = module in ("json", "json.decoder", "json.scanner") or module.startswith("xml.")
    if reads and isinstance(failed, Exception) and not isinstance(failed, ImportError):
        return error("message.malformed", f"cannot be read: {failed}")
    return None


def _invalid(findings):
    return Err(Failure_Invalid(_findings(findings)))


def _ask(call, message):
    """Calls the plugin; whatever it raises becomes a failure of the contract. That a message cannot be read is the
    message's fault and not the plugin's."""
    try:
        if message.payload.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
            _check_xml(message.payload)
        return call(message)
    except Err:
        raise
    except Invalid as refused:
        raise _invalid(refused.findings) from None
    except Retry as later:
        raise Err(Failure_Retry(Delay(_number(later.after, 0), _text(later.reason, _SENTENCE)))) from None
    except BaseException as failed:
        found = _unreadable(failed)
        if found is not None:
            raise _invalid([found]) from None
        raise Err(Failure_Internal(_place(failed))) from None


def _checked(findings):
    findings = list(findings or [])
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise _invalid(findings)
    return _findings(findings)


def _payload(content):
    return _text(content).encode() if isinstance(content, str) else bytes(content)


def _header(name, value):
    """A header; a line end or another control character in its value becomes U+FFFD."""
    value = _CONTROL.sub("\ufffd", _text(value))
    if len(value.encode()) > _HEADER:
        text = f"gives a header that is longer than the {_HEADER} bytes of one"
        raise Invalid(error("message.header-too-long", text, field=name))
    return _text(name), value


def _transformed(answer):
    made = _transformer

    def output(part):
        headers = [_header(name, value) for name, value in part.headers.items()]
        return made.Output(_payload(part.payload), _optional(part.content_type, 255), headers, [])

    change, findings = answer if isinstance(answer, tuple) else (answer, [])
    if change is None:
        verdict = made.Verdict_Unchanged()
    elif isinstance(change, Split):
        parts = [made.Part(output(part), _findings(getattr(part, "refused", None)) or None) for part in change.parts]
        verdict = made.Verdict_Split(parts)
    elif isinstance(change, Dropped):
        verdict = made.Verdict_Dropped(_fit(change.finding))
    elif isinstance(change, Replaced):
        verdict = made.Verdict_Replaced(output(change))
    else:
        raise TypeError(f"transform returned {type(change).__name__}: return None, Replaced, Split or Dropped")
    return made.Transformed(verdict, _checked(findings))


# Container objects that are made between two looks for garbage in cycles.
_COLLECT_AFTER = 50_000


def _settle(plugin):
    """What every message would otherwise do again, done once while the component is built. The collector of garbage in cycles
    leaves alone what is there by then: going through all of it takes longer than most messages, of which a fresh instance
    begins without any garbage."""
    if plugin.Config is not None:
        _object_schema(plugin.Config)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)


def _is_function(plugin, name):
    """Whether `sesame plugin build` compares this with the roles that are exported."""
    return not name.startswith("_") and name != "Config" and callable(getattr(plugin, name))


def export(plugin, *roles):
    """The classes that the component exports: `Lifecycle`, then one for each role that is named."""
    made = []
    _keep_sources()
    _bound_xml()

    class Lifecycle:
        def describe(self):
            summary = (plugin.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
            schema = None if plugin.Config is None else json.dumps(_object_schema(plugin.Config))
            functions = [("functions", " ".join(name for name in dir(plugin) if _is_function(plugin, name)))]
            return lifecycle.Description(plugin.NAME or plugin.__name__, plugin.VERSION, summary, schema, functions)

        def init(self, config):
            _import_no_more()
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
            return _ask(lambda message: [_text(name) for name in made[0].route(message) or []], message)

    known = {"validator": Validator, "transformer": Transformer, "router": Router}
    _settle(plugin)
    return tuple([Lifecycle] + [known[role] for role in roles])
