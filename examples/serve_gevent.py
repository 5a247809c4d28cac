"""gevent's own server. Start as many of these processes as you like: they share the port and the secret."""

import os
import socket

import gevent.socket
import gevent.ssl
from app import wsgi
from gevent.pywsgi import WSGIServer

import pysidctx

if __name__ == "__main__":
    ctx = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain("server.pem")
    pysidctx.resumable(ctx, pysidctx.TicketKeys.from_secret_file())
    listener = gevent.socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
    listener.listen(128)
    WSGIServer(listener, wsgi, ssl_context=ctx, log=None).serve_forever()
