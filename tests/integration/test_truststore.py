"""uvicorn with two workers and truststore in the place of ssl.SSLContext: every client is resumed."""

import inspect

import pytest
from machine import module
from server_programs import is_resumed_by_another, visits

from pysidctx.servers import SSLContextFactory

# The id context alone: truststore has servers trust the system's CAs, which no fingerprint can list.
ALONE = ("exact_id_context" if "exact_id_context" in inspect.signature(SSLContextFactory).parameters
         else "id_context")

SERVER = """
import os
import truststore

os.environ["SSL_CERT_FILE"] = "server.pem"  # or each connection reads the system's CAs, all of them
truststore.inject_into_ssl()

import pysidctx
import uvicorn
from pysidctx.servers import SSLContextFactory

factory = SSLContextFactory(pysidctx.TicketKeys.from_secret_file(os.environ["PYSIDCTX_SECRET_FILE"]), {}=b"shop")


def hook(config, default_factory):
    made = factory(config, default_factory)
    assert isinstance(made, truststore.SSLContext)
    return made


if __name__ == "__main__":
    uvicorn.run("app:asgi", port=int(os.environ["PORT"]), workers=2, ssl_certfile="server.pem",
                ssl_context_factory=hook)
"""


@pytest.fixture(autouse=True)
def truststore():
    return module("truststore", "truststore")


def test_every_client_is_resumed(start, returning, secret):
    processes = set()
    files = {"serve_uvicorn.py": SERVER.format(ALONE)}
    with start("uvicorn", secret=secret, files=files) as server:
        for client in returning:
            resumed, by = visits(client, [server.port])
            assert resumed == client.visits - 1
            processes |= by
        assert len(processes) > 1 or is_resumed_by_another(returning[0], server.port, processes)
