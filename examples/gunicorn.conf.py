"""gunicorn, with its own workers: `gunicorn --workers 4 --certfile server.pem app:wsgi` reads this file."""

from pysidctx.servers import ssl_context_factory as ssl_context  # noqa: F401, gunicorn calls it
