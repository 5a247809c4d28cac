"""The test suite on every CPython that is found; a missing one is named as skipped."""

import os
import shutil
import subprocess

import nox

# Where pyenv manages the interpreters, its commands only run versions that are selected.
if shutil.which("pyenv"):
    listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True)
    os.environ["PYENV_VERSION"] = ":".join(listed.stdout.split())

nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.9", "3.10", "3.11", "3.12", "3.13", "3.13t", "3.14", "3.14t", "3.15", "3.15t"])
def tests(session: nox.Session) -> None:
    session.install("--editable", ".[test]")
    session.run("pytest", *session.posargs)
