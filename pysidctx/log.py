"""The logger `pysidctx`, and how text of others is written to it."""

import logging

# It has no NullHandler: in a program without any logging, a certificate that cannot be renewed is still told on stderr.
log = logging.getLogger("pysidctx")

LONGEST = 500  # characters


def one_line(text: str) -> str:
    """Escape what could end a line or control a terminal, and shorten the text. Other letters stay as they are."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + "..."
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def write(level: int, message: str, *arguments: object) -> None:
    """Log a message from Cython. Where that was called by no Python, `logging` would name a place of its own."""
    log.log(level, message, *arguments)
