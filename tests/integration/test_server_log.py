"""The log of gunicorn's workers, with the configuration of docs/logging.md."""

import re
import ssl
import time
from contextlib import suppress

import pytest
from conditions import waiting
from readme import BLOCKS
from server_programs import PythonClient, visits

from pysidctx import TicketKeys

pytestmark = pytest.mark.one_python

until = waiting(30)  # seconds

(SEEING,) = [block.code for block in BLOCKS if block.page == "docs/logging.md" and "basicConfig" in block.code]
CONFIGURATION = SEEING + """
import pysidctx
from pysidctx.servers import ssl_context_factory

def ssl_context(config, default_factory):
    def build():
        listener = default_factory()
        hosts = pysidctx.HostMap({"a.test": b"a"})
        hosts.unmatched = "reject"
        hosts.install(listener)
        return listener

    return ssl_context_factory(config, build)
"""
LINE = re.compile(r"^\S+ \S+ \[(\d+)\] \[(\w+)\] pysidctx: (.*)$", re.MULTILINE)
REJECTED = re.compile(r"server names rejected: (\d+), the last one (.*)")
TRIES = 20


def test_what_operators_see(start, pem_files, secret):
    client = PythonClient(pem_files[1], ssl.TLSVersion.TLSv1_3)
    stranger = PythonClient(pem_files[1], ssl.TLSVersion.TLSv1_3, name="evil.test")
    files = {"gunicorn.conf.py": CONFIGURATION}
    with start("gunicorn", files=files, secret=secret, two_workers=True) as server:
        def told(begin):
            return [found for found in LINE.findall(server.log.read_text()) if found[2].startswith(begin)]

        processes = set()
        while len(processes) < 2:
            processes |= visits(client, [server.port])[1]
        for _ in range(TRIES):
            with pytest.raises(OSError):
                stranger.visit(server.port)
        until(lambda: sum(int(REJECTED.match(text)[1]) for *_, text in told("server names")) >= TRIES)

        certificate = server.folder / "server.pem"
        whole = certificate.read_bytes()
        for content, begin in ((b"no certificate\n", "server.pem changed, but the context cannot be rebuilt"),
                               (whole, "context rebuilt: server.pem changed")):
            certificate.write_bytes(content)
            time.sleep(1.1)  # the files are looked at once a second
            until(lambda: suppressed(visits, client, [server.port], 2) or len(told(begin)) >= 2)  # noqa: B023

        text = server.log.read_text()
        fingerprint = TicketKeys.from_secret_file(secret).fingerprint
        assert {(level, message) for _, level, message in told("secret loaded")} == {
            ("INFO", f"secret loaded for ticket keys from {str(secret)!r}: its fingerprint is {fingerprint}")}
        names = told("server names")
        assert sum(int(REJECTED.match(message)[1]) for *_, message in names) == TRIES
        assert {(level, REJECTED.match(message)[2]) for _, level, message in names} == {("INFO", "b'evil.test'")}
        assert {int(process) for process, *_ in names} <= processes
        assert {level for _, level, _ in told("context rebuilt")} == {"INFO"}
        assert {level for _, level, _ in told("server.pem changed")} == {"WARNING"}
        assert secret.read_bytes().hex() not in text and "Traceback" not in text


def suppressed(function, *arguments):
    """Call the function, whatever it raises, and return None."""
    with suppress(OSError):
        function(*arguments)
