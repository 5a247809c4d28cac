"""Every block of code in the documentation runs as it stands, and so does every example."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from consumers import build
from machine import ROOT, SUPPORT
from readme import BLOCKS, EXAMPLES, FIRST_STEPS, INSTALLING, PAGES, PARTS, QUICKSTART, SERVING, blocks, commands
from server_programs import CACHED_PROGRAMS, EVERYTHING, FASTAPI, FLEET, PROGRAMS, SEPARATE

from pysidctx.__main__ import COMMANDS, main


def test_all_blocks_are_run_below():
    """But for what installs pysidctx, which test_packaging.py runs, the picture, which test_architecture.py reads,
    what test_check_documentation.py reads, the output in the quickstart, which test_quickstart.py compares,
    and configurations of Kubernetes and systemd, of which the page says that they were not tried."""
    elsewhere = {"mermaid", "cron", "yaml", "text", "ini"}
    assert {block.language for block in BLOCKS} == {"sh", "console", "python", "c", "cython", *elsewhere}
    for page, text in PAGES.items():
        ends = re.findall(r"^```(\w*)", text, re.MULTILINE).count("")
        assert ends == sum(block.page == page for block in BLOCKS), page


def test_examples_are_those_that_servers_are_started_with():
    """By the integration tests."""
    started = {code for program in (*PROGRAMS.values(), *CACHED_PROGRAMS.values(), *SEPARATE.values(), FASTAPI,
                                   FLEET, EVERYTHING)
               for code in program.files.values()}
    assert started | {EXAMPLES["app.py"]} == set(EXAMPLES.values())


@pytest.mark.parametrize("code", PARTS)
def test_parts_of_examples(code):
    name, _, part = code[2:].partition("\n")
    assert part.strip() in EXAMPLES[name]


@pytest.mark.parametrize("code", [code for code in blocks("python") if code not in PARTS])
def test_python(code, tmp_path, pem_files, files_of_hosts):
    assert pem_files[0] == tmp_path / "server.pem"
    for name, pem in files_of_hosts.items():
        (tmp_path / name).write_text(pem)
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


# The host is nobody's: test_check_documentation.py has another one.
AUDITING = [code for code in blocks("sh") if "shop.example" in code]


@pytest.mark.parametrize("code", [code for code in blocks("sh") if code not in (*INSTALLING, *AUDITING)])
def test_commands(code, tmp_path):
    code = code.replace("/dev/shm", str(tmp_path))  # where files would remain
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", code], cwd=tmp_path, env=dict(os.environ, PATH=path), check=True)


@pytest.mark.parametrize(
    "code", [code for code in blocks("console") if code not in (FIRST_STEPS, SERVING, *QUICKSTART)])
def test_commands_at_the_prompt(code, capsys):
    """As far as they go: the host is nobody's. Integration tests take the others."""
    (program, *arguments), = commands(code)
    assert program == "pysidctx"
    if arguments[0] == "doctor":  # which finds that nothing answers, or that there is no such file
        assert main(arguments) == 1
        assert "fault" in capsys.readouterr().out
        return
    assert main(arguments) == 2
    assert "the address of 'shop.example' cannot be found" in capsys.readouterr().err


def call_on_accept(folder, function):
    """Call it with the SSL of a new connection, in a process of its own."""
    code = f"""
import ctypes, ssl, sys
sys.path.append({str(SUPPORT)!r})
import from_docs, libssl
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
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "from_docs"};

PyMODINIT_FUNC PyInit_from_docs(void)
{
    return pysidctx_import() == 0 ? PyModule_Create(&definition) : NULL;
}
"""
    source = tmp_path / "from_docs.c"
    source.write_text(code + module)
    build(tmp_path, source.name)
    call_on_accept(tmp_path, "ctypes.CDLL(from_docs.__file__).on_accept")


@pytest.mark.parametrize("code", blocks("cython"))
def test_cython(code, tmp_path):
    source = tmp_path / "from_docs.pyx"
    source.write_text(code + "\ndef call(size_t ssl):\n    return on_accept(<SSL *> ssl)\n")
    build(tmp_path, source.name)
    call_on_accept(tmp_path, "from_docs.call")


def test_the_commands_exist():
    targets = set(re.findall(r"`make (\w+)[ `]", "".join(PAGES.values())))
    assert {"demo", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_commands_of_the_command_line():
    named = set(re.findall(r"^\| `pysidctx (\w+)", PAGES["docs/command-line.md"], re.MULTILINE))
    assert named == set(COMMANDS)
