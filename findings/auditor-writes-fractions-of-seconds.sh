#!/usr/bin/env bash
# AUDITOR's APEL plugin writes end times with fractions of a second, which APEL's loader refuses.
#
# Expected      The plugin keeps the end of each job in a column that it declares as `StopTime INT NOT NULL`, and the summary's
#               EarliestEndTime and LatestEndTime are whole seconds, as the format wants.
# What happens  SQLite keeps a number that is not whole as it is, in a column of any declared type but STRICT tables'. A record
#               of AUDITOR that stops at half a second becomes `EarliestEndTime: 1716199200.5`. APEL's loader takes whole seconds
#               or a time of ISO 8601 there, so it rejects the whole message, with the summaries of all other groups in it.
# Version       auditor-apel-plugin 0.11.2 with python-auditor 0.11.2, SQLite 3.40.1
# Seen          EarliestEndTime: 1716199200.5
#               LatestEndTime: 1716199200.5
# Sesame        builtin:any-record refuses such a message before it is sent, with record, field and value ("must be whole seconds
#               since 1970 …"); builtin:salvage-records sends the other summaries on.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
timeout 300 "$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-input \
    auditor-apel-plugin==0.11.2 python-auditor==0.11.2 >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 2; }
timeout 60 "$folder/venv/bin/python" - <<'EOF'
import sqlite3
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from types import SimpleNamespace

from auditor_apel_plugin import core
from auditor_apel_plugin.config import ComponentField, ConstantField, NormalisedField, ScoreField
from auditor_apel_plugin.message import SummaryMessage
from pyauditor import Component, Meta, Record, Score

start = datetime(2024, 5, 20, 9, 0, 0, tzinfo=timezone.utc)
stop = datetime(2024, 5, 20, 10, 0, 0, 500000, tzinfo=timezone.utc)
record = Record("job-1", start).with_component(Component("Cores", 8).with_score(Score("hepscore23", 12.5)))
record = record.with_component(Component("TotalCPU", 3500)).with_stop_time(stop)
record = record.with_meta(Meta().insert("collector_type", ["htcondor"]))

score, cpu = ScoreField(name="hepscore23", component_name="Cores"), ComponentField(name="TotalCPU")
fields = {
    "VO": ConstantField(value="auriga"), "SubmitHost": ConstantField(value="ce.example.org"),
    "Infrastructure": ConstantField(value="grid"), "Processors": ComponentField(name="Cores"),
    "NodeCount": ConstantField(value=1), "CpuDuration": cpu,
    "NormalisedCpuDuration": NormalisedField(base_value=cpu, score=score),
    "NormalisedWallDuration": NormalisedField(score=score),
}
config = SimpleNamespace(get_mandatory_fields=lambda: fields, site=SimpleNamespace(ce="HTCondor-CE"))
database = core.create_db(fields, SummaryMessage())
core.fill_db(config, database, SummaryMessage(), fields, "EXAMPLE-SITE", [record])
groups = core.group_db(database, SummaryMessage(), fields)
message = core.create_message(SummaryMessage(), core.create_dict(SummaryMessage(), groups, fields, {}))

print("auditor-apel-plugin", version("auditor-apel-plugin"), "SQLite", sqlite3.sqlite_version)
print("column:", [column for column in SummaryMessage().create_sql if column.startswith("StopTime")][0])
times = [line for line in message.splitlines() if "EndTime" in line]
print("\n".join(times))
try:
    int(times[0].split(": ")[1])
except ValueError as error:
    print("read as the loader reads it:", error)
    sys.exit(0 if times == ["EarliestEndTime: 1716199200.5", "LatestEndTime: 1716199200.5"] else 1)
sys.exit("the times are whole now: this finding is out of date")
EOF
