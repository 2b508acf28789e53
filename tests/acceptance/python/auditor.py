"""Publishes a month's records to AMS with AUDITOR's plugin for APEL: a sync message, then a summary.

    auditor.py --host H --api PORT --authn PORT --certificate C --key K --project P --topic T

All is the plugin's own, from reading the records to sending the messages; this script is the database they come from.
Prints the two texts that the plugin signs as JSON lines.
"""

import argparse
import json
import logging
import sys
from datetime import datetime, timezone

from auditor_apel_plugin import config, core, republish
from pyauditor import Component, Meta, Record, Score


def settings(arguments):
    cores = config.ComponentField(name="Cores")
    cpu_time = config.ComponentField(name="TotalCPU", divide_by=1000)
    score = config.ScoreField(name="HEPscore23", component_name="Cores")
    fields = {
        "Processors": cores,
        "VO": config.MetaField(name="voms", regex=r"(?<=^/)[^/]+"),
        "SubmitHost": config.MetaField(name="headnode"),
        "CpuDuration": cpu_time,
        "NormalisedCpuDuration": config.NormalisedField(base_value=cpu_time, score=score),
        "NormalisedWallDuration": config.NormalisedField(score=score),
    }
    return config.Config(
        plugin={"log_level": "ERROR", "time_json_path": "unused", "report_interval": 1},
        site={"sites_to_report": {"UKI-TEST": ["cluster"]}, "ce": "HTCondor-CE"},
        auditor={"ip": "unused", "port": 1, "timeout": 1, "site_meta_field": "site", "use_tls": False},
        messaging={
            "host": arguments.host,
            "port": arguments.authn,
            "client_cert": arguments.certificate,
            "client_key": arguments.key,
            "project": arguments.project,
            "topic": arguments.topic,
            "timeout": 10,
            "retry": 0,
        },
        summary_fields=config.FieldConfig(
            mandatory=fields, optional={"GlobalUserName": config.MetaField(name="subject")}
        ),
    )


class Records:
    """AUDITOR as its client sees it: jobs of two users, all of the first day asked for."""

    def __init__(self):
        self.asked = False

    def advanced_query(self, _query):
        if self.asked:
            return []
        self.asked = True
        return [record(number) for number in range(6)]


def record(number):
    start = datetime(2026, 3, 1, 4, number, tzinfo=timezone.utc)
    stop = datetime(2026, 3, 1, 5, number, tzinfo=timezone.utc)
    meta = Meta()
    meta.insert("site", ["cluster"])
    meta.insert("voms", ["/atlas/Role=production"])
    meta.insert("headnode", ["ce.example.org"])
    meta.insert("subject", ["/DC=org/DC=example/CN=J\u00fcrgen %d" % (number % 2)])
    meta.insert("collector_type", ["HTCondor"])
    cores = Component("Cores", 8).with_score(Score("HEPscore23", 12.5))
    made = Record("job-%d" % number, start).with_stop_time(stop).with_meta(meta)
    return made.with_component(cores).with_component(Component("TotalCPU", 7_000_000))


def main():
    parser = argparse.ArgumentParser()
    for name in ["host", "certificate", "key", "project", "topic"]:
        parser.add_argument("--" + name, required=True)
    for name in ["api", "authn"]:
        parser.add_argument("--" + name, required=True, type=int)
    arguments = parser.parse_args()

    class Service(core.ArgoMessagingService):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            # The plugin has a setting for the port of the token alone; the API's is 443.
            self.endpoint = "%s:%d" % (arguments.host, arguments.api)

    core.ArgoMessagingService = Service
    sign = republish.sign_msg

    def sign_and_say(settings, text):
        print(json.dumps(text))
        return sign(settings, text)

    republish.sign_msg = sign_and_say
    month = argparse.Namespace(year=2026, month=3, site="UKI-TEST", dry_run=False)
    republish.run(logging.getLogger("apel_plugin"), settings(arguments), Records(), month)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
