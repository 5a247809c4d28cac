"""websockets. Start as many of these processes as you like: they share the port and the secret."""

import asyncio
import os
import ssl

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

import pysidctx


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def answer(connection: ServerConnection, request: Request) -> "Response | None":
    """Tell those who ask without an upgrade which process they have reached."""
    if "Upgrade" in request.headers:
        return None
    return connection.respond(200, f"process {os.getpid()}\n")


async def main() -> None:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain("server.pem")
    pysidctx.resumable(ctx, pysidctx.TicketKeys.from_secret_file())
    async with serve(echo, "127.0.0.1", int(os.environ["PORT"]), ssl=ctx, process_request=answer, reuse_port=True):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
