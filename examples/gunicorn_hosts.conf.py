"""gunicorn with many hosts: `gunicorn --config gunicorn_hosts.conf.py --workers 4 --certfile server.pem app:wsgi`."""

import ssl
from typing import Any, Callable

import pysidctx
from pysidctx.servers import ssl_context_factory


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
        host_map().install(listener)
        return listener

    return ssl_context_factory(config, build)
