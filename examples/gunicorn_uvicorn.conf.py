"""gunicorn with uvicorn's workers: `gunicorn --config gunicorn_uvicorn.conf.py --certfile server.pem app:asgi`."""

worker_class = "pysidctx.servers.uvicorn_worker.UvicornWorker"
