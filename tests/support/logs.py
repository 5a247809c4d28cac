"""What is logged to the logger `pysidctx` in a test."""

import logging
from collections.abc import Callable

import pytest


def begin(caplog: pytest.LogCaptureFixture, tell: Callable[[], object]) -> None:
    """Capture what is logged from now on; `tell()` logs what other tests have left."""
    tell()
    caplog.set_level(logging.INFO, "pysidctx")
    caplog.clear()
