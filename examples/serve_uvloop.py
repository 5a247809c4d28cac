"""The server of serve_asyncio.py, on uvloop."""

import uvloop
from serve_asyncio import serve

if __name__ == "__main__":
    uvloop.run(serve())
