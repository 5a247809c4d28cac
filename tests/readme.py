"""The blocks of code in the README."""

import re

from machine import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language):
    return [code for found, code in BLOCKS if found == language]


def names_in_readme(name):
    """What the one block defines that has the class or function `name`."""
    (code,) = [code for code in blocks("python")
               if re.search(rf"^(class|def) {name}\b", code, re.MULTILINE)]
    names = {}
    exec(code, names)
    return names
