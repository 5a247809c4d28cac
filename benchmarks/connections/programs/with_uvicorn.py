"""uvicorn, started in a folder with app.py and server.pem.

`python -m benchmarks.connections.programs.with_uvicorn WORKERS PORT plain|keys`
"""

import sys

import uvicorn

from pysidctx.servers import ssl_context_factory

if __name__ == "__main__":
    workers, port, how = sys.argv[1:]
    uvicorn.run("app:asgi", port=int(port), workers=int(workers), ssl_certfile="server.pem",
                log_level="warning", lifespan="off",
                ssl_context_factory=ssl_context_factory if how == "keys" else None)
