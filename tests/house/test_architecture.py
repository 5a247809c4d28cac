"""docs/architecture.md tells of the code as it is: its picture, its wings, and each file and function that it names."""

import re

import pytest
from house.floors import House, wing_of
from machine import ROOT
from readme import PAGES, blocks

pytestmark = pytest.mark.one_python

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
    """All but those to the ground, which every wing uses."""
    wings = {(wing_of(arrow.source), wing_of(arrow.target)) for arrow in House(ROOT).arrows}
    (picture,) = blocks("mermaid")
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)", picture, re.MULTILINE))
    assert drawn == {(source, target) for source, target in wings if target not in (source, "ground")}
