"""The application that the examples serve with gunicorn, uvicorn and hypercorn: it returns its process id."""

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp.web import Application, Request


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"process {os.getpid()}\n".encode()]


async def asgi(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]],
               send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"process {os.getpid()}\n".encode()})
        return
    event = ""
    while event != "lifespan.shutdown":
        event = (await receive())["type"]
        await send({"type": event + ".complete"})


async def web() -> "Application":
    from aiohttp.web import Application, Response  # which the other servers do without

    async def answer(request: "Request") -> Response:
        return Response(text=f"process {os.getpid()}\n")

    app = Application()
    app.router.add_get("/", answer)
    return app
