"""The first steps of the README: a certificate, a server with four workers, and an audit that finds no fault."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from machine import module, program
from readme import EXAMPLES, FIRST_STEPS, blocks, commands

from loopback.processes import free_port, start, stop, wait_until

pytestmark = pytest.mark.one_python


def test_first_steps(tmp_path):
    module("gunicorn", "gunicorn")
    program("openssl", "openssl")
    configuration = next(code for code in blocks("python") if code.startswith("# gunicorn.conf.py\n"))
    (tmp_path / "gunicorn.conf.py").write_text(configuration)
    (tmp_path / "app.py").write_text(EXAMPLES["app.py"])
    certificate, serve, audit = commands(FIRST_STEPS)
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    environment.pop("PYSIDCTX_SECRET_FILE", None)
    subprocess.run(certificate, cwd=tmp_path, check=True, capture_output=True)
    assert "localhost:8000" in audit  # where gunicorn listens unless it is told otherwise
    port = free_port()
    server = start([*serve, "--bind", f"127.0.0.1:{port}"], tmp_path, environment)
    try:
        wait_until(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close(), server, tmp_path)
        ran = subprocess.run([word.replace("8000", str(port)) for word in audit], cwd=tmp_path, env=environment,
                             capture_output=True, text=True)
    finally:
        stop(server)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3)" in ran.stdout
