"""The same with aiohttp's workers: `gunicorn --config gunicorn_aiohttp_cache.conf.py --certfile server.pem app:web`."""

import pysidctx
from pysidctx.servers import SSLContextFactory

worker_class = "pysidctx.servers.aiohttp_worker.GunicornWebWorker"
workers = 4
cert_reqs = 2                 # ssl.CERT_REQUIRED
ca_certs = "clients-ca.pem"

cache = pysidctx.SessionCache()
ssl_context = SSLContextFactory(pysidctx.TicketKeys(), cache=cache)
