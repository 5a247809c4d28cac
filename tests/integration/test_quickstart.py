"""The quickstart, step by step as it stands: a certificate, an application, a server, and an audit before and after."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from machine import module, program
from readme import BLOCKS, commands

from loopback.processes import free_port, start, stop, wait_until

pytestmark = pytest.mark.one_python

PAGE = [(block.language, block.code) for block in BLOCKS if block.page == "docs/quickstart.md"]


def test_quickstart(tmp_path):
    module("gunicorn", "gunicorn")
    program("openssl", "openssl")
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    environment.pop("PYSIDCTX_SECRET_FILE", None)
    certificate, before, after = [code for language, code in PAGE if language == "console" and "gunicorn" not in code]
    (serve,) = [code for _, code in PAGE if code.startswith("$ gunicorn")]
    app, configuration = [code for language, code in PAGE if language == "python"]
    reported = [code for language, code in PAGE if language == "text"]

    def serving_and_audited(audit):
        port = free_port()
        (command,), (checking,) = commands(serve), commands(audit)
        server = start([*command, "--bind", f"127.0.0.1:{port}"], tmp_path, environment)
        try:
            wait_until(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close(), server, tmp_path)
            assert "localhost:8000" in checking  # where gunicorn listens unless it is told otherwise
            return subprocess.run([word.replace("8000", str(port)) for word in checking], cwd=tmp_path,
                                  env=environment, capture_output=True, text=True)
        finally:
            stop(server)

    (making,) = commands(certificate)
    subprocess.run(making, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "hello.py").write_text(app)
    ran = serving_and_audited(before)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, reported[0].strip()), ran.stderr
    (tmp_path / "gunicorn.conf.py").write_text(configuration)
    ran = serving_and_audited(after)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, reported[1].strip()), ran.stderr
