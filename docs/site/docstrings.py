"""Shows docstrings, which are plain text in the style of Python's help(), as reStructuredText.

That takes little: a term above its description is a definition in both, and `code` stands in backticks in both. The
names of Python and of pysidctx among these become links.
"""

import importlib
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import pysidctx

CODE = re.compile(r"(?<![`:])`([^`\n]+)`(?!`)")
PUBLIC = ("pysidctx", "pysidctx.servers", "pysidctx.clients")  # modules that users import
PYTHON = "https://docs.python.org/3/library/"
# The modules of Python to whose documentation names are linked, in which anchors are full names.
MODULES = {"ssl": "ssl", "datetime": "datetime", "collections.abc": "collections.abc", "typing": "typing", "os": "os"}
BUILTINS = {"bytes": "stdtypes", "str": "stdtypes", "int": "functions", "bool": "functions", "float": "functions",
            "object": "functions", "dict": "stdtypes", "tuple": "stdtypes", "list": "stdtypes", "None": "constants",
            "Exception": "exceptions", "ImportError": "exceptions"}


def own_name(text: str) -> str:
    """The full name of what `text` names in pysidctx; empty if nothing."""
    called = re.fullmatch(r"(?:pysidctx\.)?(?:servers\.|clients\.)?(\w+(?:\.\w+)*)(?:\(\))?", text)
    if called is None:
        return ""
    name = called.group(1)
    for module in map(importlib.import_module, PUBLIC):
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not None and name.partition(".")[0] in module.__all__:
            return f"{module.__name__}.{name}"
    return ""


def linked(match: "re.Match[str]", inside: str) -> str:
    text = match.group(1)
    name = own_name(text)
    if name and name != inside:
        return f":py:obj:`{text} <{name}>`"
    return f"``{text}``"


def as_markup(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    lines[:] = [CODE.sub(lambda match: linked(match, name), line.replace("*", r"\*") if "`" not in line else line)
                for line in lines]


def in_python(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element) -> Any:
    """A link to Python's own documentation, without an inventory that would have to be fetched."""
    name = node.get("reftarget", "")
    module = next((module for module in MODULES if name.startswith(f"{module}.")), None)
    if module is not None:
        page = MODULES[module]
    elif name == "PathLike":
        page, name = "os", "os.PathLike"
    elif name in BUILTINS:
        page = BUILTINS[name]
    else:
        return None
    return nodes.reference("", "", shown, internal=False, refuri=f"{PYTHON}{page}.html#{name}")


def setup(app: Sphinx) -> dict[str, bool]:
    assert pysidctx.__doc__
    app.connect("autodoc-process-docstring", as_markup)
    app.connect("missing-reference", in_python)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
