"""uvicorn with client certificates. PYSIDCTX_SECRET_FILE and PYSIDCTX_CACHE name the files that its workers share."""

import os
import ssl

import uvicorn

from pysidctx.servers import ssl_context_factory

if __name__ == "__main__":
    uvicorn.run("app:asgi", port=int(os.environ["PORT"]), workers=4, ssl_certfile="server.pem",
                ssl_ca_certs="clients-ca.pem", ssl_cert_reqs=ssl.CERT_REQUIRED,
                ssl_context_factory=ssl_context_factory)
