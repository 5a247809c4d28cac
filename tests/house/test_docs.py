"""The documentation is whole: its links lead somewhere, what it names is there, and the README stays short."""

import re
from types import SimpleNamespace

import pytest
from machine import ROOT
from readme import PAGES

from pysidctx.cli.demo.clients import Counts
from pysidctx.cli.demo.command import Side

pytestmark = [pytest.mark.one_python, pytest.mark.source]

README = PAGES["README.md"]


def prose(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text):
    """Of the headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)}


def links(page):
    return re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page]))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page, tracked_files):
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT).as_posix()
        assert any(name == target or name.startswith(f"{target}/") for name in tracked_files), link
        assert not anchor or anchor in anchors(PAGES[target]), link


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_are_there(page, tracked_files):
    assert set(re.findall(r"`((?:tests|benchmarks|examples|docs)/[\w/.]+\.\w+)`", PAGES[page])) <= tracked_files


def test_the_helpers_of_tests_are_there():
    helpers = re.findall(r"^\| ((?:`\w+\.py`(?:, )?)+) \|", PAGES["CONTRIBUTING.md"], re.MULTILINE)
    files = re.findall(r"`(\w+\.py)`", "".join(helpers))
    assert "handshakes.py" in files
    assert set(files) <= {path.name for path in (ROOT / "tests" / "support").iterdir()}


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        there = [(ROOT / page).parent.joinpath(link.partition("#")[0]).resolve() for link in links(page)]
        waiting += {name for name in PAGES if ROOT / name in there} - reached
    assert reached == set(PAGES)


def test_the_readme_leads_with_what_an_operator_needs():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert "from pysidctx.servers import ssl_context_factory as ssl_context" in lines[:40]
    for command in ("make demo", "make test"):
        assert any(line.startswith(f"| `{command}` |") for line in lines[:60])


def test_the_figures_of_the_readme_are_those_that_the_demo_prints():
    counts = Counts()
    counts.returned = counts.resumed = counts.astray = 1
    as_it_should_be = Side.shares.fget(SimpleNamespace(counts=counts))
    rows = re.findall(r"^\| (.+) \| (\d+) % \| (\d+) % \|$", README, re.MULTILINE)
    assert [(label, int(ours) / 100) for label, _, ours in rows] == list(as_it_should_be.items())
