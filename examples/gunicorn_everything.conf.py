"""Hosts, keys and stored sessions: `gunicorn --config gunicorn_everything.conf.py --certfile server.pem app:wsgi`."""

import ssl
from typing import Any, Callable

import pysidctx
from pysidctx.servers import SSLContextFactory

workers = 4

cache = pysidctx.SessionCache()  # before the fork, so that all workers share it
hook = SSLContextFactory(pysidctx.TicketKeys(), cache=cache)


def host_context(certificate: str) -> ssl.SSLContext:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certificate)
    return ctx


def host_map() -> pysidctx.HostMap:
    shop, bank = host_context("shop.pem"), host_context("bank.pem")
    bank.load_verify_locations("clients-ca.pem")
    bank.verify_mode = ssl.CERT_REQUIRED
    return pysidctx.HostMap({"shop.example": shop, "bank.example": bank})


def ssl_context(config: Any, default_factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The hook that gunicorn calls. The context that it returns is the listener."""
    def build() -> ssl.SSLContext:
        listener = default_factory()
        host_map().install(listener)  # before the keys and the cache, which then apply to its hosts
        return listener

    return hook(config, build)
