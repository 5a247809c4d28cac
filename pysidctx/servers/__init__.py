"""Servers whose workers resume each other's sessions: the hook for gunicorn and uvicorn, and its factory."""

from pysidctx.servers.factory import SSLContextFactory, ssl_context_factory

__all__ = ["SSLContextFactory", "ssl_context_factory"]
