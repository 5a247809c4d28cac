"""Every block of code in the README runs as it stands."""

import os
import re
import subprocess
import sys

import pytest
from consumers.build import build
from machine import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language):
    return [code for found, code in BLOCKS if found == language]


def test_all_blocks_are_run_below():
    assert {language for language, _ in BLOCKS} == {"sh", "python", "c", "cython"}
    assert re.findall(r"^```(\w*)", README, re.MULTILINE).count("") == len(BLOCKS)


@pytest.mark.parametrize("code", blocks("python"))
def test_python(code, tmp_path):
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("code", blocks("sh"))
def test_shell(code, empty_venv, source_copy):
    environment = dict(os.environ, PATH=f"{empty_venv / 'bin'}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["sh", "-ec", code], cwd=source_copy, env=environment, check=True)


@pytest.mark.parametrize("code", blocks("c"))
def test_c(code, tmp_path):
    module = "PyMODINIT_FUNC PyInit_from_readme(void)\n{\n    return NULL;\n}\n"
    source = tmp_path / "from_readme.c"
    source.write_text(code + module)
    assert build(tmp_path, source)


@pytest.mark.parametrize("code", blocks("cython"))
def test_cython(code, tmp_path):
    source = tmp_path / "from_readme.pyx"
    source.write_text(code)
    (built,) = build(tmp_path, source)
    subprocess.run([sys.executable, "-c", "import from_readme"], cwd=tmp_path, check=True)


def test_the_commands_exist():
    targets = re.findall(r"`make (\w+)`", README)
    assert targets
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
