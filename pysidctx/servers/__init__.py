"""Hooks for gunicorn, uvicorn and hypercorn, whose workers then resume each other's sessions."""

from pysidctx.lockfree.totals import Totals
from pysidctx.servers.factory import SSLContextFactory, session_cache, ssl_context_factory, ticket_keys
from pysidctx.servers.hook_stats import HookStats, Stats, stats

__all__ = ["HookStats", "SSLContextFactory", "Stats", "Totals", "session_cache", "ssl_context_factory", "stats",
           "ticket_keys"]
