"""A service of two hosts with FastAPI: anybody may ask www, and devices only with a certificate. See compose.yaml."""

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from serve_fastapi import CertifiedProtocol as CertifiedProtocol  # uvicorn is told its name

import pysidctx
from pysidctx.servers import session_cache, ssl_context_factory
from pysidctx.valkey import Channel

FILES = os.environ["FILES"]


def host_map() -> pysidctx.HostMap:
    www, devices = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    www.load_cert_chain(f"{FILES}/www.pem")
    devices.load_cert_chain(f"{FILES}/devices.pem")
    devices.load_verify_locations(f"{FILES}/ca.pem")
    devices.verify_mode = ssl.CERT_REQUIRED
    hosts = pysidctx.HostMap({"www.fleet.example": www, "devices.fleet.example": devices})
    hosts.unmatched = "reject"
    return hosts


def ssl_context(config: Any, default_factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The hook that uvicorn calls. The context that it returns is the listener."""
    def build() -> ssl.SSLContext:
        listener = default_factory()
        host_map().install(listener)
        return listener

    return ssl_context_factory(config, build)


@asynccontextmanager
async def replicating(app: FastAPI) -> AsyncIterator[None]:
    """In each worker; one of the machine does the work."""
    cache = session_cache()
    assert cache is not None, "set PYSIDCTX_SECRET_FILE and PYSIDCTX_CACHE"
    channel = Channel(os.environ["VALKEY_URL"])
    replication = cache.replicate(channel)
    yield
    replication.stop()
    channel.close()


app = FastAPI(lifespan=replicating)


@app.get("/")
def who(request: Request) -> PlainTextResponse:
    certificate = request.scope["state"]["client_certificate"] or {}
    names = [name for _, name in certificate.get("subjectAltName", ())]
    return PlainTextResponse(f"process {os.getpid()}\nnames {names}\n")


if __name__ == "__main__":
    uvicorn.run("service:app", http="service:CertifiedProtocol", host=os.environ["BIND"], port=int(os.environ["PORT"]),
                workers=2, ssl_certfile=f"{FILES}/www.pem", ssl_context_factory=ssl_context)
