"""Every block of code in the README runs as it stands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from consumers.build import build
from machine import ROOT, UNOPTIMIZED
from readme import BLOCKS, README, blocks
from server_programs import PROGRAMS

from pysidctx.__main__ import main


def test_all_blocks_are_run_below():
    assert {language for language, _ in BLOCKS} == {"sh", "console", "python", "c", "cython"}
    assert re.findall(r"^```(\w*)", README, re.MULTILINE).count("") == len(BLOCKS)


SCRIPTS = [code for code in blocks("python") if re.match(r"# \w+(\.conf)?\.py\n", code)]


def test_scripts_are_those_that_servers_are_started_with():
    """By the integration tests."""
    started = {code for found in PROGRAMS.values() for code in found.files.values()}
    assert set(SCRIPTS) == started


@pytest.mark.parametrize("code", [code for code in blocks("python") if code not in SCRIPTS])
def test_python(code, tmp_path, pem_files):
    assert pem_files[0] == tmp_path / "server.pem"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_mypy(tmp_path):
    """Each file as it stands there, beside those that it imports."""
    names = []
    for number, code in enumerate(blocks("python")):
        script = re.match(r"# (\w+\.py)\n", code)
        names.append(script.group(1) if script else f"block_{number}.py")
        (tmp_path / names[-1]).write_text(code)
    ran = subprocess.run([sys.executable, "-m", "mypy", "--strict", *names], cwd=tmp_path, capture_output=True,
                         text=True, env=dict(os.environ, MYPYPATH=str(ROOT)))
    assert ran.returncode == 0, ran.stdout + ran.stderr


INSTALLING = [code for code in blocks("sh") if "pip install" in code]


@pytest.mark.parametrize("code", [code for code in blocks("sh") if code not in INSTALLING])
def test_commands(code, tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", code], cwd=tmp_path, env=dict(os.environ, PATH=path), check=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("code", INSTALLING)
def test_installing(code, empty_venv, copy_source, tmp_path):
    environment = dict(UNOPTIMIZED, PATH=f"{empty_venv / 'bin'}{os.pathsep}{os.environ['PATH']}")
    tree = copy_source(tmp_path / "tree")
    subprocess.run(["sh", "-ec", code], cwd=tree, env=environment, check=True)


@pytest.mark.parametrize("line", "".join(blocks("console")).splitlines())
def test_commands_at_the_prompt(line, capsys):
    """As far as they go: the host is nobody's."""
    prompt, program, *arguments = shlex.split(line)
    assert (prompt, program) == ("$", "pysidctx")
    assert main(arguments) == 2
    assert "the address of 'shop.example' cannot be found" in capsys.readouterr().err


def test_the_options_of_check_are_there():
    section = README.partition("## Check a server")[2].partition("\n## ")[0]
    options = set(re.findall(r"`(--[a-z-]+)", section))
    ran = subprocess.run([sys.executable, "-m", "pysidctx", "check", "--help"], capture_output=True, text=True)
    assert options and all(option in ran.stdout for option in options)


def call_on_accept(folder, function):
    """Call it with the SSL of a new connection, in a process of its own."""
    code = f"""
import ctypes, ssl, sys
sys.path.append({str(ROOT / "tests")!r})
import from_readme, libssl
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
connection = ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
on_accept = {function}
if hasattr(on_accept, "argtypes"):
    on_accept.argtypes = [ctypes.c_void_p]
assert on_accept(libssl.pointer(connection)) == 1
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("code", blocks("c"))
def test_c(code, tmp_path):
    module = """
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "from_readme"};

PyMODINIT_FUNC PyInit_from_readme(void)
{
    return pysidctx_import() == 0 ? PyModule_Create(&definition) : NULL;
}
"""
    source = tmp_path / "from_readme.c"
    source.write_text(code + module)
    build(tmp_path, source.name)
    call_on_accept(tmp_path, "ctypes.CDLL(from_readme.__file__).on_accept")


@pytest.mark.parametrize("code", blocks("cython"))
def test_cython(code, tmp_path):
    source = tmp_path / "from_readme.pyx"
    source.write_text(code + "\ndef call(size_t ssl):\n    return on_accept(<SSL *> ssl)\n")
    build(tmp_path, source.name)
    call_on_accept(tmp_path, "from_readme.call")


def test_the_commands_exist():
    targets = re.findall(r"`make (\w+)`", README)
    assert targets
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
