"""Text of others, as it may stand in a log."""

import pytest

from pysidctx.log import LONGEST, one_line


@pytest.mark.parametrize("text, told", [
    ("as it is: 'é' \\", "as it is: 'é' \\"),
    ("a\nb\r\x1b[31m\0\x7f\x85\u2028\u202e", r"a\nb\r\x1b[31m\x00\x7f\x85\u2028\u202e"),
    ("\ud800", r"\ud800"),
    ("x" * LONGEST + "y", "x" * LONGEST + "..."),
])
def test_text_stays_in_one_line(text, told):
    assert one_line(text) == told
    assert one_line(text).isprintable()
