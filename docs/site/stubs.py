"""Shows the signatures that the type stubs (.pyi) give; compiled classes have none of their own."""

import ast
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Optional, Union

from sphinx.application import Sphinx

import pysidctx

PACKAGE = Path(__file__).resolve().parents[2] / "pysidctx"
PUBLIC: dict[str, ast.expr] = {
    **{name: ast.Name(f"pysidctx.{name}") for name in pysidctx.__all__},
    **{name: ast.Name(f"pysidctx.cache.replication.{name}") for name in ("Channel", "Replication")}}
INTERNAL = ("OfEnvironment",)  # the default of an argument that names a file
Signature = Optional[tuple[str, Optional[str]]]


class Spelled(ast.NodeTransformer):
    """Spells names as their readers know them: with their modules, and private ones by what they stand for."""

    def __init__(self, stub: ast.Module) -> None:
        self.names = dict(PUBLIC)
        for item in stub.body:
            if isinstance(item, ast.ImportFrom) and not (item.module or "").startswith("pysidctx"):
                self.names.update((found.name, ast.Name(f"{item.module}.{found.name}")) for found in item.names
                                  if item.module != "typing")
            elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                self.names[item.targets[0].id] = self.visit(bound_of(item.value))

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.names.get(node.id, node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Of a Union, what is private is left out: objects that only look like one of the others."""
        if isinstance(node.slice, ast.Tuple):
            node.slice.elts = [item for item in node.slice.elts if not self.is_private(item)]
        self.generic_visit(node)
        return node

    def is_private(self, item: ast.expr) -> bool:
        return isinstance(item, ast.Name) and item.id not in self.names and (
            item.id.startswith("_") or item.id in INTERNAL)


def bound_of(value: ast.expr) -> ast.expr:
    """What a TypeVar is bound to; other expressions as they are."""
    if isinstance(value, ast.Call):
        return next((word.value for word in value.keywords if word.arg == "bound"), value)
    return value


@cache
def functions() -> dict[str, Any]:
    """Functions and methods of all stubs by `name` or `Class.name`; of overloads the first."""
    found: dict[str, Any] = {}
    for path in sorted(PACKAGE.rglob("*.pyi")):
        stub = ast.parse(path.read_text())
        spelled = Spelled(stub)
        for item in stub.body:
            if isinstance(item, ast.FunctionDef):
                found.setdefault(item.name, spelled.visit(item))
            elif isinstance(item, ast.ClassDef):
                for member in item.body:
                    if isinstance(member, ast.FunctionDef):
                        found.setdefault(f"{item.name}.{member.name}", spelled.visit(member))
    return found


def annotated(argument: ast.arg, default: Union[ast.expr, None]) -> str:
    text = argument.arg if argument.annotation is None else f"{argument.arg}: {ast.unparse(argument.annotation)}"
    return text if default is None else f"{text} = {ast.unparse(default)}"


def shown(function: ast.FunctionDef, is_method: bool) -> tuple[str, Optional[str]]:
    arguments = deepcopy(function.args)
    static = any(isinstance(found, ast.Name) and found.id == "staticmethod" for found in function.decorator_list)
    if is_method and not static:
        (arguments.posonlyargs or arguments.args).pop(0)
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[Optional[ast.expr]] = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
    words = [annotated(argument, default) for argument, default in zip(positional, defaults)]
    if arguments.posonlyargs:
        words.insert(len(arguments.posonlyargs), "/")
    if arguments.kwonlyargs:
        words += ["*", *map(annotated, arguments.kwonlyargs, arguments.kw_defaults)]
    elif arguments.vararg is not None:
        words.append(f"*{annotated(arguments.vararg, None)}")
    returned = None if function.returns is None or function.name == "__init__" else ast.unparse(function.returns)
    return f"({', '.join(words)})", returned


def signature(app: Sphinx, what: str, name: str, item: object, options: object, *given: object) -> Signature:
    short = re.sub(r"^pysidctx\.((servers|clients)\.)?", "", name)
    found = functions().get(f"{short}.__init__" if what == "class" else short)
    if found is None or what in ("property", "attribute"):
        return None
    return shown(found, "." in short or what == "class")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
