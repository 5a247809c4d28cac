"""Contexts that are built anew as soon as their files are."""

import pytest

from pysidctx.servers.current_context import CurrentContext


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch):
    """Look at the files on each use, not only after so many seconds."""
    monkeypatch.setattr(CurrentContext, "LOOK", 0.0)
