"""examples/django_project, as its files stand, started as docs/examples.md says."""

import os
import subprocess
import sys

import pytest
from handshakes import VERSIONS
from machine import ROOT, module
from server_programs import Program, PythonClient, visits

pytestmark = pytest.mark.one_python

FOLDER = ROOT / "examples" / "django_project"
ENVIRONMENT = {"DJANGO_SECRET_KEY": "of this test", "DJANGO_ALLOWED_HOSTS": "a.test"}


@pytest.fixture
def files():
    module("django", "django")
    return {path.relative_to(FOLDER).as_posix(): path.read_text() for path in FOLDER.rglob("*.py")}


def test_returning_clients_are_resumed(start, pem_files, files):
    found = Program(files, ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "project.wsgi"), {})
    with start("gunicorn", found=found, environment=ENVIRONMENT) as server:
        for version in VERSIONS:
            client = PythonClient(pem_files[1], version)
            assert visits(client, [server.port], 8)[0] == 7
            assert b"secure True" in client.said


def test_django_s_own_check():
    module("django", "django")
    ran = subprocess.run([sys.executable, "manage.py", "check"], cwd=FOLDER, env={**os.environ, **ENVIRONMENT},
                         capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
