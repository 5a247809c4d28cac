"""Start rehearsal.py in another process, and read what it has found."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any, Optional

from pysidctx.cli.doctor.rehearsal import SECONDS, unnamed

START = """
import json, sys
sys.dont_write_bytecode = True
asked = json.loads(sys.argv[1])
sys.path[:] = [*asked["path"], *(path for path in sys.path if path and path not in asked["path"])]
from pysidctx.cli.doctor.rehearsal import main
main(asked)
"""
MOST = 1 << 16  # bytes of its errors that are read


def rehearse(arguments: Optional[list[str]], environment: dict[str, str], folder: str) -> dict[str, Any]:
    """Load gunicorn's configuration with these arguments or, with None, import pysidctx.servers; return the facts."""
    result, errors = unnamed(), unnamed()
    asked = {"path": sys.path, "arguments": arguments, "result": result}
    try:
        if not os.path.isdir(folder):
            return {"error": f"the server's folder, {folder}, does not exist any more; start it again in one that "
                             "does", "warnings": []}
        # A group of its own, which ends as a whole: the configuration may have started programs.
        process = subprocess.Popen([sys.executable, "-c", START, json.dumps(asked)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=errors, pass_fds=[result], cwd=folder,
                                   env=environment, start_new_session=True)
        ended = ""
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            ended = f"it had not ended after {SECONDS} seconds"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return facts(ended or ending(process.returncode), os.pread(result, os.fstat(result).st_size, 0),
                     os.pread(errors, MOST, max(0, os.fstat(errors).st_size - MOST)))
    finally:
        os.close(result)
        os.close(errors)


def ending(code: int) -> str:
    return f"it ends the program, with {f'signal {-code}' if code < 0 else f'exit code {code}'}"


def facts(ended: str, result: bytes, errors: bytes) -> dict[str, Any]:
    last = (errors.decode(errors="replace").strip().splitlines() or [""])[-1]
    found: dict[str, Any] = json.loads(result or b"{}")
    if "error" not in found:  # it was ended before it could tell
        found.update(error=ended, warnings=[])
    if found["error"] and found["error"].startswith("it ends the program") and last:
        found["error"] += f": {last}"
    return found
