"""Read the documentation for the tests: README.md and the other pages, their code blocks, and the examples."""

import re
import shlex
from typing import Any, NamedTuple

from machine import ROOT


class Block(NamedTuple):
    """A block of code, and the page that it is on."""

    page: str
    language: str
    code: str


# By their paths from the root, which is what their links begin with.
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text()
         for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))}
BLOCKS = [Block(page, *found) for page, text in PAGES.items()
          for found in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
EXAMPLES = {path.name: path.read_text() for path in sorted((ROOT / "examples").iterdir()) if path.suffix == ".py"}


def blocks(language: str) -> list[str]:
    return [block.code for block in BLOCKS if block.language == language]


def commands(code: str) -> list[list[str]]:
    """Those of a block of the prompt, each with its arguments."""
    lines = code.replace("\\\n", "").splitlines()
    assert all(line.startswith("$ ") for line in lines), code
    return [shlex.split(line[2:]) for line in lines]


# Blocks of Python that begin with the name of an example, which they are a part of.
PARTS = [code for code in blocks("python") if re.match(r"# \w+(\.conf)?\.py\n", code)]
INSTALLING = [code for code in blocks("sh") if "pip install" in code]
# They make a certificate, start a server with it, and audit that.
(FIRST_STEPS,) = [block.code for block in BLOCKS if block.page == "README.md" and "$ openssl req" in block.code]
# They run servers, each until it is ended.
(SERVING,) = [block.code for block in BLOCKS if block.page == "docs/servers.md" and "pysidctx serve" in block.code]
QUICKSTART = [block.code for block in BLOCKS if block.page == "docs/quickstart.md"]


def names_in_docs(name: str) -> dict[str, Any]:
    """What the one block, or example, defines that has the class or function `name`."""
    (code,) = [code for code in (*blocks("python"), *EXAMPLES.values())
               if re.search(rf"^(class|(async )?def) {name}\b", code, re.MULTILINE)]
    names: dict[str, Any] = {}
    exec(code, names)
    return names
