"""Run a command of the command line in this process, where nothing depends on its having one of its own."""

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout

from pysidctx.__main__ import main


def in_process(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Return what `python -m pysidctx` with these arguments would."""
    words = [*map(str, arguments)]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            code = main(words)
        except SystemExit as error:
            assert isinstance(error.code, int)
            code = error.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
