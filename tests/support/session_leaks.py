"""The calls with sessions that leaks.py repeats."""

import os
import ssl
import tempfile
from collections.abc import Callable
from typing import Any, cast

import handshakes

from pysidctx import Error, Session


def refusals(session: Session, client_ctx: ssl.SSLContext, server_ctx: ssl.SSLContext
             ) -> tuple[Callable[[], object], ...]:
    """Calls that fail, at every stage that there is."""
    der, pem = session.to_der(), session.to_pem()
    finished = handshakes.shake(handshakes.pair(server_ctx, client_ctx))
    other = handshakes.pair(server_ctx, client_ctx, name="b.test").client
    return (
        lambda: Session.from_der(der[:-1], id_context=None),
        lambda: Session.from_der(der + b"x", id_context=None),
        lambda: Session.from_der(der, id_context=b"another"),
        lambda: Session.from_der(der, id_context=None, host="b.test"),
        lambda: Session.from_der(cast(Any, 1), id_context=None),
        lambda: Session.from_pem(pem[:-40], id_context=None),
        lambda: Session.from_pem(pem + pem, id_context=None),
        lambda: Session.of(finished.client, host="b.test"),
        lambda: Session.of(other),
        lambda: session.resume_on(finished.client),
        lambda: session.resume_on(other),
        lambda: session.with_id_context(bytes(33)),
        lambda: session.save("/dev/null/none"),
    )


def cases(server_ctx: ssl.SSLContext, client_ctx: ssl.SSLContext
          ) -> dict[str, Callable[[int], None]]:
    """Functions of a round's number by their names."""
    ends = handshakes.shake(handshakes.pair(server_ctx, client_ctx))
    connection, session = ends.client, Session.of(ends.client)
    # Parsing a certificate takes a hundred times as long as the rest: nine in ten have none.
    written = [(one.to_der(), one.to_pem()) for one in [session, *[Session.of(ends.server)] * 9]]
    stranger_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger_ctx.check_hostname, stranger_ctx.verify_mode = False, ssl.CERT_NONE
    unchecked = Session.of(handshakes.connect(server_ctx, stranger_ctx).client)
    failing = refusals(session, client_ctx, server_ctx)

    def round_trips(number: int) -> None:
        der, pem = written[number % 10]
        assert Session.from_der(der, id_context=None).to_der() == der
        assert Session.from_pem(pem, id_context=None).to_pem() == pem

    def uses(number: int) -> None:
        moved = Session.of(connection).with_id_context(b"%d" % number)
        ends = handshakes.pair(server_ctx, client_ctx)
        for one in (session, moved):
            one.resume_on(ends.client)
        for one in (moved, unchecked):
            one.to_der(), repr(one), hash(one), one == session, one.peer_certificate, one.timeout

    def files(number: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            # Not by pathlib, which interns names, in a table that grows by leaps.
            path = os.path.join(folder, "session.pem")
            session.save(path)
            Session.load(path, id_context=None, host="a.test")

    def refused(number: int) -> None:
        for call in failing:
            try:
                call()
            except (Error, TypeError, ValueError, OSError):
                continue
            raise AssertionError("not refused")

    return {"round trips of sessions": round_trips, "uses of sessions": uses, "files of sessions": files,
            "refused sessions": refused}
