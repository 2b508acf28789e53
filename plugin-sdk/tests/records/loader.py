"""A model of the accounting consumer's loader, with Python's own int, float, strip, splitlines and strptime.

It implements the same rules a second time, beside the Rust code; only the standard library is used. From standard
input it takes lines of three words, a question, a time in seconds since 1970 and a text in hexadecimal (UTF-8 or not),
and answers each with a line:

    message NOW HEX    accept, or refuse and why
    int - HEX          the value, or none
    float - HEX        the value in Python's hexadecimal form, or none
    time - HEX         the seconds since 1970, or none
    strip - HEX        the stripped text in hexadecimal
    lines - HEX        the lines in hexadecimal, separated by commas, an equals sign before each
"""

import os
import sys
import time
import warnings
from datetime import datetime, timedelta

EPOCH = datetime(1970, 1, 1)
BENCHMARKS = ("hepscore23", "hepspec", "si2k")


class Refused(Exception):
    """The message is rejected; any other exception would end the loader and counts as a rejection too."""


class Kind:
    """The fields of one class of records."""

    def __init__(self, order, must, whole="", real="", when="", table="", ignored="", spare="", outside=""):
        self.order = order.split()
        self.must = must.split()
        self.whole = whole.split()
        self.real = real.split()
        self.when = when.split()
        self.table = table.split()
        self.ignored = ignored.split()
        # Accepted although no field of messages; and taken in, but refused when the record is complete.
        self.spare = spare.split()
        self.outside = outside.split()


JOB = dict(
    must="Site LocalJobId WallDuration CpuDuration StartTime EndTime",
    whole="WallDuration CpuDuration Processors NodeCount MemoryReal MemoryVirtual",
    real="ServiceLevel",
    when="StartTime EndTime",
    ignored="SubmitHostType UpdateTime",
)
JOB_ORDER = (
    "Site SubmitHost MachineName Queue LocalJobId LocalUserId GlobalUserName FQAN VO VOGroup VORole WallDuration"
    " CpuDuration Processors NodeCount StartTime EndTime InfrastructureDescription InfrastructureType MemoryReal"
    " MemoryVirtual {}ServiceLevel"
)
SUMMARY = dict(
    must="Site Month Year WallDuration CpuDuration NumberOfJobs",
    whole="Month Year NodeCount Processors WallDuration CpuDuration NumberOfJobs",
    real="ServiceLevel",
    when="EarliestEndTime LatestEndTime",
    ignored="UpdateTime",
)
SUMMARY_ORDER = (
    "Site Month Year GlobalUserName VO VOGroup VORole SubmitHost InfrastructureType InfrastructureDescription"
    " {}ServiceLevel NodeCount Processors EarliestEndTime LatestEndTime WallDuration CpuDuration NumberOfJobs"
)
NORMALISED = dict(
    order="Site Month Year GlobalUserName VO VOGroup VORole SubmitHost Infrastructure InfrastructureDescription NodeCount"
    " Processors EarliestEndTime LatestEndTime WallDuration CpuDuration NormalisedWallDuration NormalisedCpuDuration"
    " NumberOfJobs",
    must="Site Month Year WallDuration CpuDuration NormalisedWallDuration NormalisedCpuDuration NumberOfJobs",
    whole="Month Year NodeCount Processors WallDuration CpuDuration NormalisedWallDuration NormalisedCpuDuration"
    " NumberOfJobs",
    when="EarliestEndTime LatestEndTime",
    ignored="UpdateTime",
)
KINDS = {
    "job": Kind(JOB_ORDER.format("ServiceLevelType "), **JOB),
    "job04": Kind(JOB_ORDER.format(""), table="ServiceLevel", spare="ServiceLevelType", **JOB),
    "summary": Kind(SUMMARY_ORDER.format("ServiceLevelType "), **SUMMARY),
    "summary04": Kind(SUMMARY_ORDER.format(""), table="ServiceLevel", spare="ServiceLevelType", **SUMMARY),
    "normalised": Kind(outside="ServiceLevelType", **NORMALISED),
    "normalised04": Kind(
        table="NormalisedWallDuration NormalisedCpuDuration", spare="ServiceLevelType", **NORMALISED
    ),
    "sync": Kind(
        "Site SubmitHost NumberOfJobs Month Year", "Site NumberOfJobs Month Year", whole="NumberOfJobs Month Year"
    ),
    "cloud": Kind(
        "RecordCreateTime VMUUID SiteName CloudComputeService MachineName LocalUserId LocalGroupId GlobalUserName FQAN"
        " Status StartTime EndTime SuspendDuration WallDuration CpuDuration CpuCount NetworkType NetworkInbound"
        " NetworkOutbound PublicIPCount Memory Disk BenchmarkType Benchmark StorageRecordId ImageId CloudType",
        "VMUUID SiteName",
        whole="SuspendDuration WallDuration CpuDuration NetworkInbound NetworkOutbound PublicIPCount Memory Disk",
        real="CpuCount Benchmark",
        when="RecordCreateTime StartTime EndTime",
        ignored="UpdateTime MeasurementTime MeasurementMonth MeasurementYear",
        spare="VO VOGroup VORole",
    ),
    "cloud-summary": Kind(
        "SiteName CloudComputeService Month Year GlobalUserName VO VOGroup VORole Status CloudType ImageId"
        " EarliestStartTime LatestStartTime WallDuration CpuDuration CpuCount NetworkInbound NetworkOutbound Memory Disk"
        " BenchmarkType Benchmark NumberOfVMs",
        "SiteName Month Year NumberOfVMs",
        whole="Month Year WallDuration CpuDuration NetworkInbound NetworkOutbound Memory Disk NumberOfVMs",
        real="CpuCount Benchmark",
        when="EarliestStartTime LatestStartTime",
        ignored="UpdateTime",
    ),
}
BY_TYPE = {
    "APEL-individual-job-message": "job",
    "APEL-sync-message": "sync",
    "APEL-cloud-message": "cloud",
    "APEL-cloud-summary-message": "cloud-summary",
}
BY_LINE = {
    "APEL-summary-job-message: v0.2": "summary",
    "APEL-summary-job-message: v0.4": "summary04",
    "APEL-summary-job-message: v0.3": "normalised",
    "APEL-normalised-summary-message: v0.4": "normalised04",
}


def is_null(value):
    return str(value).lower() in ("none", "null", "")


def point_in_time(text):
    try:
        seconds = int(text)
    except ValueError:
        written = time.strptime(text.replace("Z", "UTC"), "%Y-%m-%dT%H:%M:%S%Z")
        return datetime.utcfromtimestamp(time.mktime(written))
    return datetime.utcfromtimestamp(seconds)


def benchmark_of(text):
    table = {}
    for pair in text.strip("{}").split(","):
        name, number = pair.split(":")
        name = name.strip()
        if name in table:
            raise Refused("a benchmark twice")
        table[name] = float(number.strip())
    lower = {name.lower(): number for name, number in table.items()}
    for benchmark in BENCHMARKS:
        if benchmark in lower:
            return benchmark, lower[benchmark]
    raise Refused("no known benchmark")


def converted(kind, key, value):
    if is_null(value):
        if key in kind.must:
            raise Refused("null in " + key)
        return None
    if key in kind.whole:
        return int(value)
    if key in kind.real:
        return float(value)
    if key in kind.when:
        return point_in_time(value)
    return value


def take(kind, record, line):
    if ":" not in line:
        raise Refused("no colon")
    key, value = (part.strip() for part in line.split(":", 1))
    if key in kind.table:
        benchmark, value = benchmark_of(value)
        if record.setdefault("ServiceLevelType", benchmark) != benchmark:
            raise Refused("mixed benchmarks")
    if key in kind.order or key in kind.spare or key in kind.outside:
        record[key] = converted(kind, key, value)
    elif key not in kind.ignored:
        raise Refused("unknown field " + key)


def complete(kind, record):
    for key in kind.must:
        if key not in record or is_null(record[key]):
            raise Refused("no " + key)
    for key in record:
        if key in kind.outside:
            raise Refused("unexpected " + key)
    for key in kind.order:
        if key not in record or is_null(record[key]):
            record[key] = None if key in kind.whole + kind.real + kind.when else "None"


def check_job(record, now):
    benchmark, level = record["ServiceLevelType"], record["ServiceLevel"]
    if level is None:
        if benchmark != "None":
            raise Refused("benchmark without value")
        record["ServiceLevelType"], record["ServiceLevel"] = "custom", 1
    elif benchmark == "None" or benchmark.lower() not in BENCHMARKS:
        raise Refused("bad benchmark")
    if record["EndTime"] < record["StartTime"]:
        raise Refused("ends before start")
    if record["EndTime"] > now + timedelta(days=2):
        raise Refused("ends in the future")


def check_summary(record, now):
    month, year = record["Month"], record["Year"]
    start = datetime(year, month, 1)
    after = datetime(year + 1, 1, 1) if month == 12 else datetime(year, month + 1, 1)
    earliest, latest = record["EarliestEndTime"], record["LatestEndTime"]
    if earliest is not None:
        if not start <= earliest <= after:
            raise Refused("earliest outside month")
        if latest is not None and not (start <= latest <= after and earliest <= latest):
            raise Refused("latest outside month or before earliest")
    if start > now:
        raise Refused("month in the future")
    for key in ("WallDuration", "CpuDuration", "NormalisedWallDuration", "NormalisedCpuDuration"):
        if record.get(key, 0) < 0:
            raise Refused("negative " + key)


def check(name, kind, record, now):
    complete(kind, record)
    if name.startswith("job"):
        check_job(record, now)
    elif name.startswith(("summary", "normalised")):
        check_summary(record, now)


def load(payload, now):
    text = payload.decode("utf-8").strip()
    if text[:1] in ("<", "{"):
        raise Refused("no text format")
    first, *rest = text.splitlines()
    first = first.strip()
    colon = first.index(":")
    name = BY_LINE.get(first) or BY_TYPE.get(first[:colon].strip())
    if name is None:
        raise Refused("unknown type")
    if name == "job" and first[colon:].strip(": ") == "v0.4":
        name = "job04"
    kind = KINDS[name]
    for chunk in "\n".join(rest).split("%%"):
        if not chunk.strip():
            continue
        record = {}
        for line in chunk.strip().splitlines():
            take(kind, record, line)
        # Once when the record is made and once before it is stored: what the first time puts in, the second one checks.
        for _ in range(2):
            check(name, kind, record, now)


def verdict(payload, now):
    try:
        load(payload, EPOCH + timedelta(seconds=int(now)))
    except Exception as error:
        return "refuse " + ascii(f"{type(error).__name__}: {error}"[:120])
    return "accept"


def attempt(function, show):
    try:
        return show(function())
    except Exception:
        return "none"


def answer(question, now, hexadecimal):
    payload = bytes.fromhex(hexadecimal)
    if question == "message":
        return verdict(payload, now)
    text = payload.decode("utf-8")
    if question == "int":
        return attempt(lambda: int(text), str)
    if question == "float":
        return attempt(lambda: float(text), float.hex)
    if question == "time":
        return attempt(lambda: point_in_time(text), lambda at: str((at - EPOCH) // timedelta(seconds=1)))
    if question == "strip":
        return "=" + text.strip().encode().hex()
    return ",".join("=" + line.encode().hex() for line in text.splitlines())


def main():
    os.environ["TZ"] = "UTC"
    time.tzset()
    warnings.simplefilter("ignore", DeprecationWarning)
    for line in sys.stdin:
        question, now, *hexadecimal = line.split()
        print(answer(question, now, "".join(hexadecimal)))


if __name__ == "__main__":
    main()
