"""Run `pysidctx check` on a server, and read what it found."""

import json
import re
from typing import Any, Optional

from commands import in_process


class Checked:
    """What `check --json` said."""

    def __init__(self, port: int, *arguments: object, most: int = 1) -> None:
        ran = in_process("check", f"127.0.0.1:{port}", "--json", *arguments)
        assert ran.returncode in range(most + 1), ran.stderr
        assert ran.stderr == ""
        self.said: dict[str, Any] = json.loads(ran.stdout)
        assert self.said["finished"]
        assert ran.returncode == bool(self.said["faults"])
        self.findings: list[dict[str, Any]] = self.said["findings"]

    def found(self, check: str, where: Optional[str] = None) -> list[dict[str, Any]]:
        return [finding for finding in self.findings if finding["check"] == check
                and where in (None, finding["where"])]

    def grades(self, check: str) -> dict[str, str]:
        return {finding["where"]: finding["grade"] for finding in self.found(check)}

    def count(self, where: str) -> Optional[tuple[int, int]]:
        """(resumed, of how many), of the first host; None where nothing is offered."""
        found = re.search(r"(\d+) of (\d+) returning", self.found("resumption", where)[0]["seen"])
        return (int(found.group(1)), int(found.group(2))) if found else None

    def crosses(self, where: str, made: str, offered: str) -> bool:
        return any(f"made for {made} is resumed for {offered}" in finding["seen"]
                   for finding in self.findings if finding["where"] == where)
