#!/usr/bin/env bash
# AUDITOR's APEL plugin gives messages of one second one id, so that two messages of one run share it.
#
# Expected: `empaid` is the id of a message. Two messages with different content have different ids.
# Seen: auditor-apel-plugin 0.11.2 writes the UTC second as `empaid` and nothing else. A run sends a sync message and
#   then a summary for each site. Both are made within a second where the server answers fast. A receiver that knows
#   duplicates by their id keeps one of the two.
# Sesame: the key of the journal has the digest of the content too, so that all are stored
#   (host/spool/src/journal/receiver.rs; test messages_with_one_id_are_all_stored in
#   tests/acceptance/ams_other_senders.rs).
#
# Output on 2026-11-29:
#   auditor-apel-plugin 0.11.2, argo-ams-library 1.0.0
#   published APEL-sync-message: v0.1, empaid T
#   published APEL-normalised-summary-message: v0.4, empaid T
#   T is YYYYMMDD/YYYYMMDDHHMMSS; ids of 2 messages: 1
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
timeout 300 venv/bin/pip install --quiet --disable-pip-version-check --no-input \
    auditor-apel-plugin==0.11.2 python-auditor==0.11.2 argo-ams-library==1.0.0 >log 2>&1 || { cat log >&2; exit 2; }
PYTHONPATH=$here/lib timeout 60 venv/bin/python - <<'P'
import base64
import logging
import re
import time
from argparse import Namespace
from datetime import datetime, timedelta, timezone
from importlib.metadata import version

import argo_ams_library
from ams_stub import CERTIFICATE, KEY, Stub
from auditor_apel_plugin import config, publish
from pyauditor import Component, Meta, Record, Score

print(f"auditor-apel-plugin {version('auditor-apel-plugin')}, argo-ams-library {version('argo-ams-library')}")
stub = Stub()
cores, cpu = config.ComponentField(name="Cores"), config.ComponentField(name="TotalCPU")
score = config.ScoreField(name="HEPscore23", component_name="Cores")
fields = {
    "VO": config.ConstantField(value="example"), "SubmitHost": config.ConstantField(value="ce.example.org"),
    "Processors": cores, "CpuDuration": cpu,
    "NormalisedCpuDuration": config.NormalisedField(base_value=cpu, score=score),
    "NormalisedWallDuration": config.NormalisedField(score=score),
}
settings = config.Config(
    plugin={"log_level": "ERROR", "time_json_path": "time.json", "report_interval": 86400},
    site={"sites_to_report": {"EXAMPLE-SITE": ["cluster"]}},
    auditor={"ip": "localhost", "port": 1, "timeout": 1, "site_meta_field": "site", "use_tls": False},
    messaging={"host": "localhost", "port": stub.port, "client_cert": CERTIFICATE, "client_key": KEY,
               "project": "project", "topic": "topic", "timeout": 10, "retry": 0},
    summary_fields=config.FieldConfig(mandatory=fields),
)


class Database:
    """What AUDITOR answers: one job for each day."""

    def advanced_query(self, _):
        start = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        record = Record("job", start).with_stop_time(start + timedelta(hours=1))
        record = record.with_component(Component("Cores", 8).with_score(Score("HEPscore23", 12.5)))
        record = record.with_component(Component("TotalCPU", 3500))
        return [record.with_meta(Meta().insert("site", ["cluster"]).insert("collector_type", ["htcondor"]))]


class Done(Exception):
    pass


def pause(_):
    raise Done


class AtTheStub(argo_ams_library.ArgoMessagingService):
    """The client of the plugin, once it has its token, at the port of the stub: the plugin has no setting for it."""

    def assign_token(self, *arguments):
        super().assign_token(*arguments)
        self.endpoint = f"localhost:{stub.port}"


logger = logging.getLogger("apel_plugin")
logger.setLevel("ERROR")
publish.sleep = pause
publish.send_payload.__globals__["ArgoMessagingService"] = AtTheStub
time.sleep(1.05 - time.time() % 1)
try:
    publish.run(logger, settings, Database(), Namespace(dry_run=False))
except Done:
    pass
ids = [message["attributes"]["empaid"] for message in stub.messages]
for message, empaid in zip(stub.messages, ids):
    text = base64.b64decode(message["data"]).decode()
    kind = re.search(r"APEL-[^\r\n]*", text).group()
    print(f"published {kind}, empaid {'T' if empaid == ids[0] else empaid}")
assert all(re.fullmatch(r"\d{8}/\d{14}", empaid) and empaid[:8] == empaid[9:17] for empaid in ids)
print(f"T is YYYYMMDD/YYYYMMDDHHMMSS; ids of {len(ids)} messages: {len(set(ids))}")
assert (len(ids), len(set(ids)), len({message["data"] for message in stub.messages})) == (2, 1, 2)
P
