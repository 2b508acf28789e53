"""Everyday calls, each with what it answers; `docs/src/plugins/calls.md` has the same table, and a test compares."""

import asyncio
import base64
import csv
import datetime
import decimal
import glob
import hashlib
import io
import json
import locale
import logging
import os
import pathlib
import platform
import random
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import traceback
import unicodedata
import urllib.request
import uuid
import warnings
import xml.etree.ElementTree as ElementTree
import zlib
import zoneinfo

from sesame_plugin import Plugin, Replaced, export

CALLS = r"""
print("seen")
print("seen", file=sys.stderr)
sys.stdout.write("seen\n")
logging.warning("disk %s", "full")
logging.getLogger("sites").error("no site")
warnings.warn("old format")
traceback.print_exc()
pathlib.PurePath("a", "b").as_posix()
datetime.datetime.now()
datetime.datetime.now(datetime.timezone.utc).isoformat()
datetime.date.today()
datetime.datetime.strptime("2026-04-01", "%Y-%m-%d")
datetime.datetime(2026, 4, 1).strftime("%A %d %B %Y")
datetime.datetime.fromisoformat("2026-04-01T00:00:00Z").timestamp()
datetime.datetime.fromtimestamp(0)
time.time()
time.strftime("%Y-%m-%d")
time.strptime("1 Apr 2026", "%d %b %Y").tm_yday
time.localtime().tm_zone
time.sleep(3600)
time.monotonic() < time.monotonic()
time.perf_counter_ns() % 1000000
zoneinfo.ZoneInfo("Europe/London")
uuid.uuid4().version
uuid.uuid1().version
uuid.uuid5(uuid.NAMESPACE_DNS, "example.org")
random.random() < 1
random.choice([7])
secrets.token_hex(8).isalnum()
len(os.urandom(16))
b"\x80".decode("cp1252")
b"\xef\xbb\xbfa".decode("utf-8-sig")
b"\xa4".decode("iso8859-15")
b"a\x00".decode("utf-16")
b"\x82\xa0".decode("shift_jis")
"z\u00fcrich.example".encode("idna")
b"\xff".decode()
b"\xff".decode("utf-8", "replace")
"a".encode("no-such-codec")
open("/etc/hosts")
open("out.txt", "w")
pathlib.Path("list.txt").read_text()
os.listdir("/")
os.path.exists("/etc/passwd")
os.mkdir("new")
os.getcwd()
glob.glob("*")
shutil.copy("a", "b")
os.environ.get("HOME")
os.getenv("PATH", "none")
sys.argv
sys.version_info[:2]
sys.stdin.read()
input()
socket.socket()
socket.gethostname()
socket.create_connection(("127.0.0.1", 80))
urllib.request.urlopen("http://localhost/")
subprocess.run(["true"])
os.getpid()
threading.Thread(target=print).start()
threading.Lock().acquire()
asyncio.run(asyncio.sleep(1))
platform.system()
locale.getlocale()
__import__("colorsys")
json.loads("[1, 2]")
ElementTree.fromstring("<a><b/></a>").find("b").tag
csv.reader(io.StringIO("a,b")).__next__()
decimal.Decimal("1.10") + 1
re.sub("[aeiou]", "", "sesame")
hashlib.sha256(b"a").hexdigest()[:8]
base64.b64decode("aGk=")
zlib.decompress(zlib.compress(b"a"))
unicodedata.normalize("NFC", "e\u0301")
statistics.mean([1, 2])
sys.exit(3)
""".strip().splitlines()


def answer(call):
    """What the call answers, or the error it raises."""
    try:
        return repr(eval(call))
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


class Calls(Plugin):
    """Everyday calls."""

    VERSION = "0.1.0"

    def transform(self, message):
        """Returns the answers of all calls; for the message `chance`, random ones."""
        asked = message.payload.decode().strip()
        if asked == "chance":
            return Replaced(f"{uuid.uuid4()} {random.random()} {secrets.token_hex(8)}\n".encode())
        if asked.startswith("run "):
            run(asked[4:])
        return Replaced("".join(f"{call}\t{answer(call)}\n" for call in CALLS).encode())


def run(what):
    """Calls that cannot work, whose error is not caught."""
    if what == "open":
        open("/etc/hosts")
    if what == "import":
        import colorsys
    if what == "connect":
        socket.create_connection(("127.0.0.1", 80))


Lifecycle, Transformer = export(Calls, "transformer")
