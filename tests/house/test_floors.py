"""The package's wings stand in floors: what a file needs lies beneath its wing, or in it, and nothing goes round."""

import subprocess
import sys

import pytest
from floors import House, wing_of
from machine import ROOT, SUPPORT

pytestmark = [pytest.mark.one_python, pytest.mark.source]


@pytest.fixture
def house(tmp_path):
    """Makes one of files, by their paths."""

    def make(**files):
        for path, text in files.items():
            path = tmp_path / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "include").mkdir(exist_ok=True)
        return House(tmp_path)

    return make


def test_every_arrow_runs_down_and_none_in_a_circle():
    assert House(ROOT).faults() == []


def test_the_house_is_read_whole():
    """This shows that the test above can fail: known arrows are found."""
    arrows = {(arrow.source, arrow.target) for arrow in House(ROOT).arrows}
    assert arrows >= {
        ("pysidctx/hosts/hostmap", "pysidctx/handles"),                       # cimport
        ("pysidctx/__init__", "pysidctx/hosts/hostmap"),                      # import
        ("pysidctx/cli/info", "pysidctx/binding"),                            # import of a module from a package
        ("pysidctx/hosts/table", "pysidctx/lockfree/readers"),                # #include in a header
        ("pysidctx/id_contexts/fingerprint", "pysidctx/id_contexts/store_lookups"),  # cdef extern from
        ("pysidctx/handles", "include/cpython_ssl"),
        ("pysidctx/handles", "pysidctx/binding"),
        ("pysidctx/binding", "pysidctx/elf_objects"),
        ("pysidctx/binding", "include/openssl_functions"),                    # #include in C code in Cython's
        ("pysidctx/libssl", "include/openssl_api"),
    }


def test_it_is_printed():
    ran = subprocess.run([sys.executable, SUPPORT / "floors.py"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "arrows that do not run down: 0, circles: 0\nlongest chain, of" in ran.stdout


UPWARDS = {
    "cimport": ("pysidctx/handshake/low.pyx", "from pysidctx.hosts.high cimport (\n    One,\n    Two as Three,\n)\n",
                "pysidctx/handshake/low.pyx takes One, Two of pysidctx/hosts/high: handshake stands beneath hosts"),
    "in a .pxd": ("pysidctx/handshake/low.pxd", "from pysidctx.hosts.high cimport One\n",
                  "pysidctx/handshake/low.pxd takes One of pysidctx/hosts/high: handshake stands beneath hosts"),
    "a module": ("pysidctx/handshake/low.pyx", "from pysidctx.hosts cimport high\n",
                 "pysidctx/handshake/low.pyx takes pysidctx/hosts/high: handshake stands beneath hosts"),
    "import": ("pysidctx/servers/low.py", "import os, pysidctx.cli.high\n",
               "pysidctx/servers/low.py takes pysidctx/cli/high: servers stands beneath cli"),
    "in a function": ("pysidctx/errors.py", "def late():\n    from pysidctx.hosts.high import One  # only here\n",
                      "pysidctx/errors.py takes One of pysidctx/hosts/high: ground stands beneath hosts"),
    "relative": ("pysidctx/handshake/low.py", "from ..hosts.high import One\n",
                 "pysidctx/handshake/low.py takes One of pysidctx/hosts/high: handshake stands beneath hosts"),
    "a relative module": ("pysidctx/handshake/low.py", "from ..hosts import high\n",
                          "pysidctx/handshake/low.py takes pysidctx/hosts/high: handshake stands beneath hosts"),
    "include": ("pysidctx/handshake/low.pyx", "include 'hosts/high.pxi'\n",
                "pysidctx/handshake/low.pyx takes pysidctx/hosts/high: handshake stands beneath hosts"),
    "extern": ("pysidctx/handshake/low.pxd", 'cdef extern from "hosts/high.h" nogil:\n    pass\n',
               "pysidctx/handshake/low.pxd takes pysidctx/hosts/high: handshake stands beneath hosts"),
    "a header": ("pysidctx/handshake/low.h", '# include "hosts/high.h"\n',
                 "pysidctx/handshake/low.h takes pysidctx/hosts/high: handshake stands beneath hosts"),
    "C in Cython": ("pysidctx/handshake/low.pyx",
                    'cdef extern from *:\n    """\n    #include "hosts/high.h"\n    """\n',
                    "pysidctx/handshake/low.pyx takes pysidctx/hosts/high: handshake stands beneath hosts"),
    "a neighbour": ("pysidctx/tickets/low.pyx", "from pysidctx.hosts.high cimport One\n",
                    "pysidctx/tickets/low.pyx takes One of pysidctx/hosts/high: tickets stands beside hosts"),
}


@pytest.mark.parametrize("path, text, fault", UPWARDS.values(), ids=UPWARDS)
def test_an_arrow_that_does_not_run_down_is_refused(house, path, text, fault):
    others = {f"pysidctx/{wing}/high{suffix}": "" for wing in ("hosts", "cli") for suffix in (".pyx", ".h", ".pxi")}
    assert house(**others, **{path: text}).faults() == [fault]


def test_downwards_and_within_a_wing_they_may_run(house):
    made = house(**{
        "pysidctx/hosts/high.pyx": "from pysidctx.hosts.table cimport slots\nfrom pysidctx.errors cimport check\n",
        "pysidctx/hosts/table.pxd": 'cdef extern from "hosts/table.h":\n    pass\n',
        "pysidctx/hosts/table.h": '#include "openssl_compat.h"\n#include <stdlib.h>\n',
        "pysidctx/errors.pxd": "", "include/openssl_compat.h": "",
    })
    assert len(made.arrows) == 3
    assert made.faults() == []
    assert made.longest_chain() == ["pysidctx/hosts/high", "pysidctx/hosts/table", "include/openssl_compat"]


def test_what_is_told_is_no_arrow(house):
    made = house(**{
        "pysidctx/handshake/low.pyx":
            '"""Text.\n\nfrom pysidctx.hosts.high import One\n"""\n# import pysidctx.hosts.high\n',
        "pysidctx/handshake/low.h": '/*\n#include "hosts/high.h"\n*/\n',
        "pysidctx/hosts/high.pyx": "", "pysidctx/hosts/high.h": ""})
    assert made.arrows == []


@pytest.mark.parametrize("through", [("one", "two"), ("one", "two", "three")])
def test_a_circle_is_refused(house, through):
    names = [f"pysidctx/hosts/{name}" for name in through]
    made = house(**{f"{name}.pyx": f"from {following.replace('/', '.')} cimport it\n"
                    for name, following in zip(names, [*names[1:], names[0]])})
    first = sorted(names)[0]
    at = names.index(first)
    assert made.faults() == [f"a circle: {' -> '.join([*names[at:], *names[:at], first])}"]


def test_a_file_in_no_wing_is_refused(house):
    made = house(**{"pysidctx/attic/box.py": "", "pysidctx/errors.py": ""})
    assert made.faults() == ["pysidctx/attic/box is in no wing: give it a place in floors.py"]


def test_wings():
    assert wing_of("pysidctx/hosts/table") == "hosts"
    assert wing_of("pysidctx/hosts/__init__") == "hosts"
    assert wing_of("pysidctx/__init__") == "face"
    assert wing_of("include/pysidctx") == "ground"
