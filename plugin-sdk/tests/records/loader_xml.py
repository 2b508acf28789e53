"""A model of the consumer's loader for messages in XML and JSON, to compare the SDK's verdicts with.

Reads cases from standard input, each a line of hexadecimal digits (the payload), and writes for each `valid`, or `invalid` and why.
The first argument is "now", seconds since 1970. What the loader does by Python's own XML and JSON parsers is done by the
same here; the rest is written after its rules, independently of the SDK: the first element of a name, its own text,
the readings of numbers, times and durations, the fields that must be there, and the schema of JSON messages. Where the
loader would crash, the verdict is invalid.
"""

import datetime
import json
import re
import sys
import xml.dom.minidom
from decimal import Decimal

STAR = "http://eu-emi.eu/namespaces/2011/02/storagerecord"
CAR = "http://eu-emi.eu/namespaces/2012/11/computerecord"

TIME = re.compile(
    r"(?P<Y>[0-9]{4})"
    r"(?:(?:-(?P<m1>[0-9]{1,2})|(?P<m2>[0-9]{2})(?!$))"
    r"(?:(?:-(?P<d1>[0-9]{1,2})|(?P<d2>[0-9]{2}))"
    r"(?:[ T](?P<H>[0-9]{2})(?::?(?P<M>[0-9]{2}))?(?::?(?P<S>[0-9]{1,2})(?:[.,](?P<f>[0-9]+))?)?"
    r"(?P<z>Z|(?P<zs>[-+])(?P<zh>[0-9]{2}):?(?P<zm>[0-9]{2})?)?)?)?)?$"
)
DURATION = re.compile(
    r"^P(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)W)?(?:([0-9]+)D)?T?"
    r"(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:[.,][0-9]*)?)S)?$"
)


class Refused(Exception):
    """The loader puts the message into its reject queue."""


def is_null(value):
    return str(value).lower() in ("none", "null", "")


def time(text):
    found = TIME.match(text)
    if not found:
        raise Refused("no time: %r" % text)
    group = found.groupdict()
    pick = lambda *names: next((int(group[name]) for name in names if group[name] is not None), None)
    zone = datetime.timezone.utc
    if group["zs"]:
        offset = datetime.timedelta(hours=pick("zh"), minutes=pick("zm") or 0)
        zone = datetime.timezone(-offset if group["zs"] == "-" else offset)
    micros = int(Decimal("0." + (group["f"] or "0")) * Decimal("1000000.0"))
    day = (pick("Y"), pick("m1", "m2") or (1 if pick("m1", "m2") is None else 0))
    date = pick("d1", "d2")
    local = datetime.datetime(*day, 1 if date is None else date, pick("H") or 0, pick("M") or 0, pick("S") or 0, micros, zone)
    return local.astimezone(datetime.timezone.utc).replace(tzinfo=None)


def duration(text):
    """Seconds, or None for what the loader goes on without."""
    found = DURATION.match(text)
    if not found:
        return None
    total = 0
    for digits, unit in zip(found.groups(), (31536000, 2628000, 604800, 86400, 3600, 60, 1)):
        if digits is None:
            continue
        digits = digits.replace(",", ".")
        try:
            total += unit * (int(round(float(digits))) if "." in digits else int(digits))
        except ValueError:
            pass
    return total


class Xml:
    """One record, and the namespace it is in."""

    def __init__(self, element, namespace):
        self.element, self.namespace = element, namespace

    def all(self, name):
        return self.element.getElementsByTagNameNS(self.namespace, name)

    def text(self, name):
        found = self.all(name)
        return own_text(found[0]) if found else None

    def attribute(self, name, attribute):
        found = self.all(name)
        return found[0].getAttributeNS(self.namespace, attribute) if found else None

    def with_attribute(self, name, attribute, value):
        has = lambda element: element.hasAttributeNS(self.namespace, attribute)
        get = lambda element: element.getAttributeNS(self.namespace, attribute)
        return [element for element in self.all(name) if has(element) and get(element) == value]


def own_text(element):
    return "".join(node.data for node in element.childNodes if node.nodeType == node.TEXT_NODE)


def convert(fields, integers=(), floats=(), mandatory=()):
    """What filling a record from a dictionary refuses."""
    for name, value in list(fields.items()):
        if value is None or is_null(value):
            if name in mandatory:
                raise Refused("null: " + name)
            fields[name] = None
        elif name in integers:
            fields[name] = int(value)
        elif name in floats:
            fields[name] = float(value)
    for name in mandatory:
        if fields.get(name) is None:
            raise Refused("missing: " + name)


def star(element, _now):
    record = Xml(element, STAR)
    fields = {name: record.text(name) for name in ("StorageSystem", "FileCount", "ResourceCapacityUsed",
                                                   "LogicalCapacityUsed", "ResourceCapacityAllocated")}
    fields["RecordId"] = record.attribute("RecordIdentity", "recordId")
    times = {"CreateTime": record.attribute("RecordIdentity", "createTime")}
    times.update((name, record.text(name)) for name in ("StartTime", "EndTime"))
    fields.update((name, text if text is None else time(text)) for name, text in times.items())
    convert(fields, ("FileCount", "ResourceCapacityUsed", "LogicalCapacityUsed", "ResourceCapacityAllocated"), (),
            ("RecordId", "CreateTime", "StorageSystem", "StartTime", "EndTime", "ResourceCapacityUsed"))


def cpu(record):
    marked = record.with_attribute("CpuDuration", "usageType", "all")
    if len(marked) == 1:
        return own_text(marked[0])
    return record.text("CpuDuration") if not marked else ""


def car(element, now):
    record = Xml(element, CAR)
    fields = {name: record.text(name) for name in ("Site", "LocalJobId", "Processors", "NodeCount", "ServiceLevel")}
    fields["ServiceLevelType"] = record.attribute("ServiceLevel", "type")
    for name, text in (("WallDuration", record.text("WallDuration")), ("CpuDuration", cpu(record))):
        fields[name] = text if text is None else duration(text)
    for name in ("StartTime", "EndTime"):
        text = record.text(name)
        fields[name] = text if text is None else time(text)
    convert(fields, ("Processors", "NodeCount"), ("ServiceLevel",),
            ("Site", "LocalJobId", "WallDuration", "CpuDuration", "StartTime", "EndTime"))
    level, kind = fields["ServiceLevel"], fields["ServiceLevelType"]
    if (level is None) != (kind is None):
        raise Refused("half a service level")
    if kind is not None and kind.lower() not in ("si2k", "hepspec", "hepscore23"):
        raise Refused("service level type")
    if fields["EndTime"] < fields["StartTime"]:
        raise Refused("ends before it starts")
    if fields["EndTime"] > now + datetime.timedelta(2):
        raise Refused("in the future")


def of_xml(text, now):
    # Twice, as the loader does it: once for the namespace, once for the records.
    first = xml.dom.minidom.parseString(text).firstChild
    kinds = {STAR: ("StorageUsageRecord", star), CAR: ("UsageRecord", car)}
    if first.namespaceURI not in kinds:
        raise Refused("not recognised")
    name, read = kinds[first.namespaceURI]
    records = xml.dom.minidom.parseString(text).getElementsByTagNameNS(first.namespaceURI, name)
    if not records:
        raise Refused("no record")
    for record in records:
        read(record, now)


TEXT, NUMBER, WHOLE, NULL = "text", "number", "whole", "null"
ACCELERATOR = {
    "MeasurementMonth": ({WHOLE}, lambda value: 1 <= value <= 12),
    "MeasurementYear": ({WHOLE}, None),
    "AssociatedRecordType": ({TEXT}, lambda value: value in ("cloud", "job")),
    "AssociatedRecord": ({TEXT}, None),
    "GlobalUserName": ({TEXT, NULL}, None),
    "FQAN": ({TEXT}, None),
    "SiteName": ({TEXT}, None),
    "Count": ({NUMBER}, None),
    "Cores": ({WHOLE, NULL}, None),
    "ActiveDuration": ({WHOLE, NULL}, None),
    "AvailableDuration": ({WHOLE}, None),
    "BenchmarkType": ({TEXT, NULL}, None),
    "Benchmark": ({NUMBER, NULL}, None),
    "Type": ({TEXT}, lambda value: value in ("GPU", "FPGA", "Other")),
    "Model": ({TEXT}, None),
}
ACCELERATOR_MANDATORY = ("MeasurementMonth", "MeasurementYear", "AssociatedRecordType", "AssociatedRecord", "FQAN",
                         "SiteName", "Count", "AvailableDuration", "Type")
IGNORED = ("CloudType", "CloudComputeService")


def types(value):
    """The names of the types that a schema gives a value."""
    if value is None:
        return {NULL}
    if isinstance(value, bool):
        return set()
    if isinstance(value, str):
        return {TEXT}
    if isinstance(value, int) or isinstance(value, float) and value.is_integer():
        return {NUMBER, WHOLE}
    return {NUMBER} if isinstance(value, float) else set()


def accelerator(record, now):
    if not isinstance(record, dict):
        raise Refused("no object")
    for name in ACCELERATOR_MANDATORY:
        if name not in record:
            raise Refused("missing: " + name)
    for name, (allowed, rule) in ACCELERATOR.items():
        if name in record:
            if not types(record[name]) & allowed or rule and not rule(record[name]):
                raise Refused("schema: " + name)
    if not 2000 <= record["MeasurementYear"] <= now.year:
        raise Refused("year")
    unknown = set(record) - set(ACCELERATOR) - set(IGNORED)
    if unknown:
        raise Refused("unknown: %s" % unknown)
    fields = {name: record[name] for name in record if name in ACCELERATOR}
    integers = [name for name, (allowed, _) in ACCELERATOR.items() if WHOLE in allowed]
    convert(fields, integers, ("Count", "Benchmark"), ACCELERATOR_MANDATORY)


def of_json(text, now):
    message = json.loads(text)
    if message.get("Type") != "APEL-accelerator-message" or message.get("Version") != "0.1":
        raise Refused("type or version")
    records = message.get("UsageRecords")
    if not isinstance(records, list) or not 1 <= len(records) <= 1000:
        raise Refused("number of records")
    for record in records:
        accelerator(record, now)


def verdict(payload, now):
    try:
        text = payload.decode("utf-8").strip()
        if text.startswith("<"):
            of_xml(text, now)
        elif text.startswith("{"):
            of_json(text, now)
        else:
            raise Refused("neither XML nor JSON")
    except Exception as error:  # a refusal, a parser's error or a crash: all are invalid
        return "invalid %s: %s" % (type(error).__name__, str(error).replace("\n", " ")[:200])
    return "valid"


def main():
    now = datetime.datetime.fromtimestamp(int(sys.argv[1]), datetime.timezone.utc).replace(tzinfo=None)
    sys.setrecursionlimit(1000)
    for line in sys.stdin.buffer:
        print(verdict(bytes.fromhex(line.decode("ascii")), now).encode("ascii", "backslashreplace").decode())


if __name__ == "__main__":
    main()
