"""gunicorn with aiohttp's workers: `gunicorn --config gunicorn_aiohttp.conf.py --certfile server.pem app:web`."""

worker_class = "pysidctx.servers.aiohttp_worker.GunicornWebWorker"  # or GunicornUVLoopWebWorker
