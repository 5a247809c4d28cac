"""aiohttp alone. Start as many of these processes as you like: they share the port and the secret."""

import os
import ssl

from aiohttp import web

import pysidctx


async def answer(request: web.Request) -> web.Response:
    return web.Response(text=f"process {os.getpid()}\n")


if __name__ == "__main__":
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain("server.pem")
    keys = pysidctx.TicketKeys.from_secret_file()
    pysidctx.resumable(ctx, keys)
    app = web.Application()
    app.router.add_get("/", answer)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), ssl_context=ctx,
                reuse_port=True)
