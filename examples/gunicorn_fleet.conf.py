"""gunicorn for clients with certificates: `gunicorn --config gunicorn_fleet.conf.py --certfile server.pem app:wsgi`."""

import ssl
from typing import Any, Callable

import pysidctx
from pysidctx.servers import SSLContextFactory

workers = 4
cert_reqs = 2                 # ssl.CERT_REQUIRED
ca_certs = "clients-ca.pem"

cache = pysidctx.SessionCache()  # before the fork, so that all workers share it
hook = SSLContextFactory(pysidctx.TicketKeys(), cache=cache)


def ssl_context(config: Any, default_factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The hook that gunicorn calls."""
    def build() -> ssl.SSLContext:
        ctx = default_factory()
        ctx.load_verify_locations("revoked.pem")  # the revocation list of the CA, which is watched, too
        ctx.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        return ctx

    return hook(config, build)
