"""Tornado. Start as many of these processes as you like: they share the port and the secret."""

import asyncio
import os
import ssl

import tornado.httpserver
import tornado.netutil
import tornado.web

import pysidctx


class Answer(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write(f"process {os.getpid()}\n")


async def serve() -> None:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain("server.pem")
    pysidctx.resumable(ctx, pysidctx.TicketKeys.from_secret_file())
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Answer)]), ssl_options=ctx)
    server.add_sockets(tornado.netutil.bind_sockets(int(os.environ["PORT"]), "127.0.0.1", reuse_port=True))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
