"""A machine of a fleet: a server that stores and replicates sessions, and clients of it and of others.

    python cache_machine.py FOLDER PORT URL

FOLDER has server.pem, ca.pem and secret. Each line of the input is a call of one of the Machine's methods, as a list in
JSON; each is answered by a line, with what the call returned.
"""

import json
import socket
import ssl
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Optional

from pem_files import first_certificate

from pysidctx import Session, SessionCache, set_session_id_context
from pysidctx.valkey import Channel

GREETING = b"hello"
TIMEOUT = 20  # seconds


class Machine:
    def __init__(self, folder: Path, port: int, url: str) -> None:
        self.folder, self.port = folder, port
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(folder / "server.pem")
        self.ctx.load_verify_locations(folder / "ca.pem")
        self.ctx.verify_mode = ssl.CERT_REQUIRED
        set_session_id_context(self.ctx, b"shop")
        self.cache = SessionCache.from_secret((folder / "secret").read_bytes(), size=2 << 20)
        self.cache.install(self.ctx)
        self.replication = self.cache.replicate(Channel(url, timeout=0.5))
        self.listening = socket.create_server(("0.0.0.0", port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            plain, _ = self.listening.accept()
            threading.Thread(target=self.answer, args=(plain,), daemon=True).start()

    def answer(self, plain: socket.socket) -> None:
        plain.settimeout(TIMEOUT)
        with suppress(OSError), plain, self.ctx.wrap_socket(plain, server_side=True) as made:
            made.sendall(GREETING)
            while made.recv(4096):
                pass
            made.unwrap()

    def visit(self, host: str, client: str, session: Optional[str]) -> tuple[bool, str]:
        """As a client, by the name of its file. Returns whether it was resumed, and a session, in hexadecimal."""
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.load_verify_locations(self.folder / "ca.pem")
        ctx.load_cert_chain(self.folder / client)
        plain = socket.create_connection((host, self.port), timeout=TIMEOUT)
        with plain, ctx.wrap_socket(plain, server_hostname="a.test", do_handshake_on_connect=False) as made:
            if session is not None:
                Session.from_der(bytes.fromhex(session), id_context=b"", host="a.test").resume_on(made)
            made.do_handshake()
            assert made.recv(len(GREETING)) == GREETING  # after the tickets
            found = bool(made.session_reused), Session.of(made).to_der().hex()
            made.unwrap()
            return found

    def forget(self, client: str) -> list[str]:
        """Forget a client's sessions. Returns the warnings."""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            self.cache.forget(peer=first_certificate(self.folder / client))
        return [str(each.message) for each in warned]

    def error(self) -> Optional[str]:
        return self.replication.error

    def received(self) -> int:
        return self.cache.stats().received


def main() -> None:
    machine = Machine(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    print("null", flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(machine, name)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
