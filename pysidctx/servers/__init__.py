"""Hooks for gunicorn, uvicorn and hypercorn, whose workers then resume each other's sessions."""

from pysidctx.servers.factory import SSLContextFactory, ssl_context_factory

__all__ = ["SSLContextFactory", "ssl_context_factory"]
