"""An application that answers with its process id, the name in the client's certificate, and the cache's counts.

gunicorn, uvicorn, hypercorn and aiohttp serve it, as `app`.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from aiohttp.web import Application, Request

Certificate = Optional[dict[str, Any]]

certificates: dict[Any, Certificate] = {}  # by the client's address, where ASGI does not tell


def answer(certificate: Certificate) -> bytes:
    names = [name for _, name in (certificate or {}).get("subjectAltName", ())]
    return (f"process {os.getpid()}\nnames {json.dumps(names)}\ncounts {json.dumps(counts())}\n").encode()


def counts() -> Optional[dict[str, int]]:
    """Of the cache in gunicorn's configuration, or else of the environment's."""
    from pysidctx.servers import session_cache

    cache = getattr(sys.modules.get("__config__"), "cache", None) or session_cache()
    return None if cache is None else cache.stats()._asdict()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer(environ["gunicorn.socket"].getpeercert())]


async def asgi(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]],
               send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["type"] == "http":
        body = answer(certificates[tuple(scope["client"])])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
        return
    event = ""
    while event != "lifespan.shutdown":
        event = (await receive())["type"]
        await send({"type": event + ".complete"})


async def web() -> "Application":
    from aiohttp.web import Application, Response

    async def handle(request: "Request") -> Response:
        assert request.transport is not None
        return Response(body=answer(request.transport.get_extra_info("peercert")))

    app = Application()
    app.router.add_get("/", handle)
    return app


def note(transport: Any) -> None:
    certificates[transport.get_extra_info("peername")[:2]] = transport.get_extra_info("peercert")


def tell_of_uvicorn() -> None:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    made = H11Protocol.connection_made

    def connection_made(self: Any, transport: Any) -> None:
        note(transport)
        made(self, transport)

    H11Protocol.connection_made = connection_made  # type: ignore[method-assign]


def tell_of_hypercorn() -> None:
    from hypercorn.asyncio.tcp_server import TCPServer

    run = TCPServer.run

    async def running(self: Any) -> None:
        note(self.writer)
        await run(self)

    TCPServer.run = running  # type: ignore[method-assign]


if "uvicorn" in sys.modules:
    tell_of_uvicorn()
if "hypercorn" in sys.modules:
    tell_of_hypercorn()
