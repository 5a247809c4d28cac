"""A process whose memory is searched from outside of it."""

import os
import re
import subprocess
import sys


class Watched:
    """A process that runs lines of code."""

    CODE = "import sys\nfor line in sys.stdin:\n    exec(line)\n    print(flush=True)"

    def __init__(self) -> None:
        # Bound lazily, the first call of a function leaves registers, with data, on the stack.
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=dict(os.environ, LD_BIND_NOW="1"))

    def run(self, line: str) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "\n"

    def count(self, secret: bytes) -> int:
        """How often `secret` is in what the process can write to."""
        found = 0
        with open(f"/proc/{self.process.pid}/maps") as maps, \
                open(f"/proc/{self.process.pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                matched = re.match("(.*?)-(.*?) (....)", line)
                assert matched is not None
                start, end, access = matched.groups()
                if access.startswith("rw"):
                    memory.seek(int(start, 16))
                    found += memory.read(int(end, 16) - int(start, 16)).count(secret)
        return found
