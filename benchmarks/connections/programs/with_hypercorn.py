"""hypercorn, started in a folder with app.py and server.pem.

`python -m benchmarks.connections.programs.with_hypercorn WORKERS PORT plain|keys`
"""

import ssl
import sys

from hypercorn.config import Config
from hypercorn.run import run

from pysidctx.servers import ssl_context_factory


class ResumingConfig(Config):
    def create_ssl_context(self) -> "ssl.SSLContext | None":
        return ssl_context_factory(self, super().create_ssl_context)


if __name__ == "__main__":
    workers, port, how = sys.argv[1:]
    config = ResumingConfig() if how == "keys" else Config()
    config.application_path = "app:asgi"
    config.bind = f"127.0.0.1:{port}"
    config.workers = int(workers)
    config.certfile = config.keyfile = "server.pem"
    config.loglevel = "error"
    run(config)
