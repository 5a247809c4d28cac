"""The calls with ticket keys that leaks.py repeats."""

import datetime
import os
import secrets
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import tickets
from authorities import Authority

from pysidctx import Session, TicketKeys, resumable

LATER = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)


def key_file(folder: "tempfile.TemporaryDirectory[str]", name: str) -> Path:
    path = Path(folder.name, name)
    path.touch(0o600)
    path.write_bytes(secrets.token_bytes(80))
    return path


def refusals(ctx: ssl.SSLContext, path: Path) -> tuple[Callable[[], object], ...]:
    return (
        lambda: TicketKeys(period=0),
        lambda: TicketKeys.from_secret(b"short"),
        lambda: TicketKeys.from_files([path, path]),
        lambda: TicketKeys.from_files([os.devnull]),
        lambda: TicketKeys.from_secret_file(path.parent),
        lambda: TicketKeys().uninstall(ctx),
        lambda: resumable(ctx, cast(Any, None)),
    )


def cases(server_ctx: ssl.SSLContext, client_ctx: ssl.SSLContext, certificate: str, ca: str
          ) -> dict[str, Callable[[int], None]]:
    folder = tempfile.TemporaryDirectory()
    paths = key_file(folder, "one"), key_file(folder, "other")
    refused = refusals(server_ctx, paths[0])
    rotating = TicketKeys(period=1, lifetime=30)
    last: list[Session] = []

    # The folder lasts as long as its object.
    def keys(number: int, folder: "tempfile.TemporaryDirectory[str]" = folder) -> None:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        filed = TicketKeys.from_files(paths)
        for made in (TicketKeys(), filed, TicketKeys.from_secret_file(paths[0])):
            made.install(ctx)
        made.uninstall(ctx)
        filed.install(ctx)
        filed.reload()
        try:
            refused[number % len(refused)]()
        except (TypeError, ValueError, OSError):
            return
        raise AssertionError("not refused")

    def visits(number: int) -> None:
        rotating.install(server_ctx)
        _, session = tickets.visit(server_ctx, client_ctx, last.pop() if last else None)
        if number % 8:
            last.append(session)
        if number % 50 == 0:
            rotating.uninstall(server_ctx)

    demanding, known = verifying(folder, certificate, ca)
    rotating.install(demanding)

    def verified(number: int) -> None:
        tickets.visit(demanding, known)

    return {"ticket keys": keys, "tickets": visits, "verified clients": verified}


def verifying(folder: "tempfile.TemporaryDirectory[str]", certificate: str, ca: str
              ) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context that looks clients up in a revocation list, and a client's that is let in."""
    root = Authority(ends=LATER)
    trusted, client = Path(folder.name, "trusted.pem"), Path(folder.name, "client.pem")
    trusted.write_text(root.pem + root.crl(ends=LATER))
    known = root.client(ends=LATER)
    client.write_text(known.pem + known.key_pem)
    demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    demanding.load_cert_chain(certificate)
    demanding.load_verify_locations(trusted)
    demanding.verify_mode = ssl.CERT_REQUIRED
    demanding.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_ctx.load_verify_locations(ca)
    client_ctx.load_cert_chain(client)
    return demanding, client_ctx
