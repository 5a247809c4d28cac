"""docs/faq.md quotes messages as the sources have them."""

import re

import pytest
from machine import ROOT
from readme import PAGES

pytestmark = [pytest.mark.one_python, pytest.mark.source]

HEADINGS = re.findall(r"^### (.*)$", PAGES["docs/faq.md"], re.MULTILINE)


@pytest.fixture(scope="module")
def texts():
    """Of all sources, with literals that follow each other joined."""
    found = "\n".join(path.read_text() for path in sorted((ROOT / "pysidctx").rglob("*.py*")) if
                      path.suffix in (".py", ".pyx"))
    return re.sub(r"[\"']\s*\n\s*f?[\"']", "", found)


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_message_is_one_of_the_sources(texts, heading):
    (message,) = re.findall(r"^`([^`]+)`$", heading)
    assert message in texts


