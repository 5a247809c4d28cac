"""Hooks for gunicorn, uvicorn and hypercorn, whose workers then resume each other's sessions."""

from pysidctx.servers.factory import SSLContextFactory, session_cache, ssl_context_factory

__all__ = ["SSLContextFactory", "session_cache", "ssl_context_factory"]
