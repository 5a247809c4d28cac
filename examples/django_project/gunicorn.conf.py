"""Read by `gunicorn project.wsgi` in this folder: the one line, and what else a deployment needs."""

from pysidctx.servers import ssl_context_factory as ssl_context  # noqa: F401, gunicorn calls it

workers = 4
certfile = "server.pem"  # with its key
