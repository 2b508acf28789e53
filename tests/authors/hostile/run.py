"""Runs plugin.py over files without a component: `run.py HELPERS FILE…`. Python must be 3.11 or newer.

What a component's bindings would be is made here: records that store what they are given. Says `NAME VERDICT` for each
file, and fails if an answer contains what the host does not accept, or the plugin failed.
"""

import dataclasses
import enum
import importlib
import pathlib
import sys
import types


def record(name, *fields):
    return dataclasses.make_dataclass(name, fields)


class Err(Exception):
    def __init__(self, value):
        self.value = value


class Severity(enum.Enum):
    ERROR = 0
    WARNING = 1
    INFO = 2


class Level(enum.Enum):
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4


Finding = record("Finding", "severity", "code", "text", "record_number", "field", "value", "properties")
Message = record("Message", "payload")
NAMES = {
    "componentize_py_types": {"Err": Err},
    "wit_world": {},
    "wit_world.exports": {},
    "wit_world.exports.lifecycle": {"Description": record("Description", "a", "b", "c", "d", "e")},
    "wit_world.exports.transformer": {
        "Output": record("Output", "payload", "content_type", "set_headers", "properties"),
        "Part": record("Part", "content", "refused"),
        "Transformed": record("Transformed", "verdict", "findings"),
        "Verdict_Unchanged": record("Unchanged"),
        "Verdict_Split": record("Split", "value"),
        "Verdict_Replaced": record("Replaced", "value"),
        "Verdict_Dropped": record("Dropped", "value"),
    },
    "wit_world.imports": {},
    "wit_world.imports.log": {"Level": Level, "write": lambda level, text: fits(text)},
    "wit_world.imports.types": {
        "Context": object, "Direction": object, "Message": Message, "Signer": object, "Severity": Severity,
        "Finding": Finding, "Delay": record("Delay", "after", "reason"), "Failure_Retry": record("Retry", "value"),
        "Failure_Internal": record("Internal", "value"), "Failure_Invalid": record("Invalid", "value"),
    },
}


def fits(answer):
    """Whether the host takes every text of an answer, and all of it together is small."""
    if isinstance(answer, str):
        return len(answer.encode())
    if isinstance(answer, bytes):
        return len(answer)
    if isinstance(answer, (list, tuple)):
        return sum(fits(one) for one in answer)
    if dataclasses.is_dataclass(answer):
        if isinstance(answer, Finding):
            assert answer.record_number is None or 1 <= answer.record_number < 2**32
        return sum(fits(getattr(answer, field.name)) for field in dataclasses.fields(answer))
    assert answer is None or isinstance(answer, enum.Enum) or isinstance(answer, int), type(answer)
    return 8


def verdict(call):
    try:
        answer = call()
    except Err as failure:
        assert type(failure.value).__name__ == "Invalid", failure.value
        assert failure.value.value, "invalid without a finding"
        return "invalid", fits(failure.value)
    return "accepted", fits(answer)


def main(helpers, files):
    for name, names in NAMES.items():
        module = sys.modules[name] = types.ModuleType(name)
        module.__dict__.update(names)
        package, _, own = name.rpartition(".")
        if package:
            setattr(sys.modules[package], own, module)
    sys.path[:0] = [helpers, str(pathlib.Path(__file__).parent)]
    plugin = importlib.import_module("plugin")
    plugin.Lifecycle().init("{}")
    for path in map(pathlib.Path, files):
        message = Message(path.read_bytes())
        for role in (plugin.Validator().validate, plugin.Transformer().transform):
            try:
                said, size = verdict(lambda: role(message))
            except BaseException as wrong:
                sys.exit(f"{path.name}: {role.__name__} fails: {type(wrong).__name__}: {ascii(str(wrong))[:300]}")
            if size > 2_000_000 + 4 * len(message.payload):
                sys.exit(f"{path.name}: {role.__name__} hands back {size} bytes")
            print(path.name, said)


main(sys.argv[1], sys.argv[2:])
