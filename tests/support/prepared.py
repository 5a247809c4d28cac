"""Processes that have imported what takes long, and fork a child for what is to run as if in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, NamedTuple

PARENT = """
import gc, json, os, signal, sys
exec(sys.argv[1])
gc.freeze()  # or each child would look at all of it as it ends
for line in sys.stdin:
    code, folder, environment, outputs = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(int(sys.argv[2]))
        for number, name in enumerate((os.devnull, *outputs)):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        exec(code)
        break  # and end as a process of Python's does
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Ran(NamedTuple):
    """What came of a child."""

    returncode: int
    stdout: str
    stderr: str


@contextmanager
def prepared(code: str, *options: str, seconds: int = 60) -> Iterator[Callable[..., Ran]]:
    """Start Python with these options, and run `code` there. What this gives runs other code in a child of it.

    A child that has not ended after so many seconds is ended by SIGALRM.
    """
    with TemporaryDirectory() as made, subprocess.Popen(
            [sys.executable, *options, "-c", PARENT, code, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd="/") as process:
        outputs = [Path(made, name) for name in ("stdout", "stderr")]

        def run(code: str, folder: "Path | str" = "/", environment: Mapping[str, str] = os.environ) -> Ran:
            assert process.stdin is not None and process.stdout is not None
            print(json.dumps([code, str(folder), dict(environment), [*map(str, outputs)]]), file=process.stdin,
                  flush=True)
            return Ran(int(process.stdout.readline()), *(path.read_text() for path in outputs))

        yield run
    assert process.returncode == 0
