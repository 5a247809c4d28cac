"""hypercorn with client certificates. PYSIDCTX_SECRET_FILE and PYSIDCTX_CACHE name the files that its workers share."""

import os
import ssl

from hypercorn.run import run
from serve_hypercorn import ResumingConfig

if __name__ == "__main__":
    config = ResumingConfig()
    config.application_path = "app:asgi"
    config.bind = "127.0.0.1:" + os.environ["PORT"]
    config.workers = 4
    config.certfile = config.keyfile = "server.pem"
    config.ca_certs = "clients-ca.pem"
    config.verify_mode = ssl.CERT_REQUIRED
    run(config)
