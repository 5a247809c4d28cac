"""docs/architecture.md tells of the code as it is: its picture, its wings, and each file and function that it names."""

import re

import pytest
from floors import House, wing_of
from machine import ROOT
from readme import PAGES, blocks

pytestmark = [pytest.mark.one_python, pytest.mark.source]

PAGE = PAGES["docs/architecture.md"]
FILE = re.compile(r"[\w./]+\.(?:pyx|pxd|py|h)")
FUNCTION = re.compile(r"[a-z_]\w*(?=\(\))")  # not OpenSSL's, nor a method of an object


def passages():
    """Paragraphs, rows of tables, and items of lists: with the names that each has in backticks."""
    text = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    for passage in re.split(r"\n(?:\n|(?=\||- |\d+\. ))", text):
        yield re.findall(r"`([^`]+)`", passage)


def place_of(name):
    return next((path for path in (ROOT / "pysidctx" / name, ROOT / name) if path.exists()), None)


def test_files_and_functions_are_there():
    wrong = []
    for names in passages():
        files = [name for name in names if FILE.fullmatch(name)]
        wrong += [f"there is no file {name}" for name in files if place_of(name) is None]
        code = [place_of(name).read_text() for name in files if place_of(name) is not None]
        for function in filter(None, map(FUNCTION.match, names)):
            if not any(re.search(rf"\b{function.group()}\(", text) for text in code):
                wrong.append(f"{function.group()}() is in none of {files}")
    assert wrong == []


def test_each_wing_has_a_paragraph():
    wings = {path.parent.name for path in (ROOT / "pysidctx").glob("*/__init__.py")}
    assert set(re.findall(r"^### `(\w+)/`$", PAGE, re.MULTILINE)) == wings


def test_the_picture_has_the_arrows_between_wings():
    """Those that do not follow from others."""
    targets = {}
    for arrow in House(ROOT).arrows:
        targets.setdefault(wing_of(arrow.source), set()).add(wing_of(arrow.target))

    def below(wing):
        return {found for target in targets.get(wing, set()) - {wing} for found in {target} | below(target)}

    expected = {(wing, target) for wing, found in targets.items() for target in found - {wing}
                if not any(target in below(other) for other in found - {wing})}
    (picture,) = blocks("mermaid")
    assert set(re.findall(r"^ +(\w+) --> (\w+)", picture, re.MULTILINE)) == expected
