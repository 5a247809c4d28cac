"""FastAPI on uvicorn, for clients with certificates, whose names it tells. Needs PYSIDCTX_SECRET_FILE."""

import asyncio
import os
import ssl
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from pysidctx.servers import ssl_context_factory

app = FastAPI()


@app.get("/")
def who(request: Request) -> PlainTextResponse:
    names = [name for _, name in request.scope["state"]["client_certificate"].get("subjectAltName", ())]
    return PlainTextResponse(f"process {os.getpid()}\nnames {names}\n")


class CertifiedProtocol(H11Protocol):
    """uvicorn's protocol, which also hands the client's certificate to the application: uvicorn's own does not."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The certificate of a resumed session, too: it is that of its full handshake.
        self.app_state: dict[str, Any] = {**self.app_state,
                                          "client_certificate": transport.get_extra_info("peercert")}


if __name__ == "__main__":
    uvicorn.run("serve_fastapi:app", http="serve_fastapi:CertifiedProtocol", port=int(os.environ["PORT"]), workers=4,
                ssl_certfile="server.pem", ssl_ca_certs="clients-ca.pem", ssl_cert_reqs=ssl.CERT_REQUIRED,
                ssl_context_factory=ssl_context_factory)
