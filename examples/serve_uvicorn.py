"""uvicorn, from 0.47 on, with four workers that it spawns."""

import os

import uvicorn

from pysidctx.servers import ssl_context_factory

if __name__ == "__main__":
    uvicorn.run("app:asgi", port=int(os.environ["PORT"]), workers=4, ssl_certfile="server.pem",
                ssl_context_factory=ssl_context_factory)
