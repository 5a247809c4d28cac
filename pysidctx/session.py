"""Session, for the command line."""

from pysidctx.sessions.session import Session

__all__ = ["Session"]
