"""Clients that resume by themselves: ClientSessions, and everywhere() for contexts that libraries make."""

from pysidctx.clients.client_sessions import ClientSessions
from pysidctx.clients.every_context import Everywhere, everywhere
from pysidctx.clients.stats import ClientStats

__all__ = ["ClientSessions", "ClientStats", "Everywhere", "everywhere"]
