"""What a test does for which something is missing: it is skipped, or fails in CI, which should have it."""

import sys

import pytest
from machine import lack

NEXT = (3, sys.version_info[1] + 1)


@pytest.mark.parametrize("ci, since, outcome", [
    ("", (3, 9), pytest.skip.Exception), ("true", (3, 9), pytest.fail.Exception),
    ("true", sys.version_info[:2], pytest.fail.Exception), ("true", NEXT, pytest.skip.Exception),
])
def test_what_is_missing(monkeypatch, ci, since, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome) as caught:
        lack("a program is missing", since=since)
    needs = f", which needs Python 3.{NEXT[1]} or later" if since == NEXT else ""
    assert str(caught.value) == f"a program is missing{needs}"
