"""asyncio alone. Start as many of these processes as you like: they share the port and the secret."""

import asyncio
import os
import ssl

import pysidctx


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(f"HTTP/1.0 200 OK\r\n\r\nprocess {os.getpid()}\n".encode())
    writer.close()
    await writer.wait_closed()


async def serve() -> None:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain("server.pem")
    keys = pysidctx.TicketKeys.from_secret_file()
    pysidctx.resumable(ctx, keys)
    server = await asyncio.start_server(answer, "127.0.0.1", int(os.environ["PORT"]), ssl=ctx,
                                        reuse_port=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
