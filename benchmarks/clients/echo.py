"""A TLS server that returns the first byte of each connection: `python -m benchmarks.clients.echo PORT CERTIFICATE`."""

import socket
import ssl
import sys
from contextlib import suppress


def main(port: int, certificate: str) -> None:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", port)) as listening:
        while True:
            plain, _ = listening.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError), plain, ctx.wrap_socket(plain, server_side=True) as connection:
                connection.sendall(connection.recv(1))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
