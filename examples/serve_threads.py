"""socketserver, with a thread for each connection. Start as many of these processes as you like."""

import os
import socket
import socketserver
import ssl

import pysidctx


class Server(socketserver.ThreadingTCPServer):
    ctx: ssl.SSLContext

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


class Answer(socketserver.StreamRequestHandler):
    server: Server

    def setup(self) -> None:  # in the connection's thread
        self.request = self.server.ctx.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(f"HTTP/1.0 200 OK\r\n\r\nprocess {os.getpid()}\n".encode())

    def finish(self) -> None:
        super().finish()
        self.request.close()


if __name__ == "__main__":
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain("server.pem")
    keys = pysidctx.TicketKeys.from_secret_file()
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Answer)
    server.ctx = pysidctx.resumable(ctx, keys)
    server.serve_forever()
