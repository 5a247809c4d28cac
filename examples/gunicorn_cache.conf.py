"""gunicorn with client certificates: `gunicorn --config gunicorn_cache.conf.py --certfile server.pem app:wsgi`."""

import pysidctx
from pysidctx.servers import SSLContextFactory

workers = 4
cert_reqs = 2                 # ssl.CERT_REQUIRED
ca_certs = "clients-ca.pem"

cache = pysidctx.SessionCache()  # before the fork, so that all workers share it
ssl_context = SSLContextFactory(pysidctx.TicketKeys(), cache=cache)
