"""Runs a plugin outside WebAssembly, in pytest, on the cases of `sesame plugin test`.

    import sesame_native
    import plugin

    @pytest.mark.parametrize("case", sesame_native.cases())
    def test_case(case):
        sesame_native.check(plugin, case)

Import this module before the plugin: it provides what componentize-py generates when it builds a component. The program
`sesame` reads the case, says which functions to call and compares the answer (`sesame plugin case`); it is `$SESAME`, or
found in `PATH`. Clock, random numbers, files and network are those of this machine here.
"""

import enum
import json
import os
import pathlib
import subprocess
import sys
import types

import sesame_contract as contract

# The plugin's own JSON reader is bounded, see `sesame_plugin`; this is the original.
_decode = json.JSONDecoder().decode


class Err(Exception):
    """An error of the contract."""

    def __init__(self, value):
        super().__init__(value)
        self.value = value


class _Level(enum.Enum):
    TRACE, DEBUG, INFO, WARN, ERROR = range(5)


class _Description:
    def __init__(self, name, version, summary, config_schema, properties):
        self.name, self.version, self.summary = name, version, summary
        self.config_schema, self.properties = config_schema, properties


def _module(name, **names):
    made = types.ModuleType(name)
    vars(made).update(names)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, made)
    sys.modules[name] = made


# The tables of the case, by name and key.
_tables = {}


def _table(name):
    if name not in _tables:
        raise Err(f'table "{name}" is not granted')
    return _tables[name]


def _get(table, key):
    row = _table(table).get(key)
    return None if row is None else [tuple(field) for field in row]


def _contains(table, key):
    return key in _table(table)


def _log(level, text):
    print(f"{level.name.lower()}: {text}", file=sys.stderr)


def _provide():
    """The modules that componentize-py generates from `wit/`."""
    _module("componentize_py_types", Err=Err)
    for package in ["wit_world", "wit_world.imports", "wit_world.exports"]:
        _module(package)
    _module("wit_world.imports.types", **vars(contract))
    _module("wit_world.imports.log", Level=_Level, write=_log)
    _module("wit_world.imports.tables", get=_get, contains=_contains)
    _module("wit_world.exports.lifecycle", Description=_Description)
    _module("wit_world.exports.transformer", **vars(contract))


if "wit_world" not in sys.modules:
    _provide()


def cases(folder="cases"):
    """The folders of the test cases, as strings."""
    return sorted(str(message.parent) for message in pathlib.Path(folder).glob("*/message"))


def check(plugin, case):
    """Runs the plugin, a module, on the case in this folder. Raises AssertionError with the difference if its answer is not
    the expected one."""
    __tracebackhide__ = True
    command = [os.environ.get("SESAME", "sesame"), "plugin", "case", str(case)]
    try:
        asked = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    except FileNotFoundError:
        raise RuntimeError(f"cannot run {command[0]}: put sesame into PATH, or its path into SESAME") from None
    with asked:
        for line in asked.stdout:
            question = _decode(line)
            if "done" in question:
                assert not question["done"], "\n" + "\n".join(question["done"])
                return
            asked.stdin.write(json.dumps(_answer(plugin, question)) + "\n")
            asked.stdin.flush()
    raise RuntimeError(f"sesame plugin case {case} ended early, see what it wrote to standard error")


def _answer(plugin, question):
    try:
        return {"ok": _ask(plugin, question)}
    except Err as failed:
        return {"error": _failure(failed.value)}


def _ask(plugin, question):
    call = question["call"]
    if call == "describe":
        roles = [role for role in ["validator", "transformer", "router"] if hasattr(plugin, role.title())]
        return {"roles": roles, "config_schema": plugin.Lifecycle().describe().config_schema}
    if call == "init":
        _tables.clear()
        _tables.update(question["tables"])
        # In a component nothing can be imported any more; here pytest goes on.
        finders = list(sys.meta_path)
        try:
            return plugin.Lifecycle().init(question["config"])
        finally:
            sys.meta_path[:] = finders
    message = _message(question["message"])
    if call == "validate":
        return [_finding(found) for found in plugin.Validator().validate(message)]
    if call == "transform":
        return _transformed(plugin.Transformer().transform(message))
    return plugin.Router().route(message)


def _message(given):
    context = dict(given["context"])
    context["direction"] = contract.Direction[context["direction"].upper()]
    if context["signer"] is not None:
        signer = dict(context["signer"])
        signer["certificate"] = bytes(signer["certificate"])
        signer["properties"] = _pairs(signer["properties"])
        context["signer"] = contract.Signer(**signer)
    for name in ["transport_headers", "properties"]:
        context[name] = _pairs(context[name])
    return contract.Message(contract.Context(**context), bytes(given["payload"]))


def _pairs(given):
    return [(name, value) for name, value in given]


def _finding(found):
    return {
        "severity": found.severity.name.lower(), "code": found.code, "text": found.text, "field": found.field,
        "record_number": found.record_number, "value": found.value,
    }


def _output(made):
    return {"payload": list(made.payload), "content_type": made.content_type, "set_headers": made.set_headers}


def _transformed(given):
    made, verdict = given.verdict, None
    if isinstance(made, contract.Verdict_Replaced):
        verdict = {"replaced": _output(made.value)}
    elif isinstance(made, contract.Verdict_Split):
        verdict = {"split": [{"content": _output(part.content), "refused": _refused(part)} for part in made.value]}
    elif isinstance(made, contract.Verdict_Dropped):
        verdict = {"dropped": _finding(made.value)}
    return {"verdict": verdict, "findings": [_finding(found) for found in given.findings]}


def _refused(part):
    return None if part.refused is None else [_finding(found) for found in part.refused]


def _failure(failed):
    if isinstance(failed, contract.Failure_Invalid):
        return {"invalid": [_finding(found) for found in failed.value]}
    if isinstance(failed, contract.Failure_Retry):
        return {"retry": {"reason": failed.value.reason, "after": failed.value.after}}
    return {"internal": failed.value} if isinstance(failed, contract.Failure_Internal) else failed
