"""The client with which an audit connects: it accepts as many servers as possible."""

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

from pysidctx.cli.check.client_limits import lift_limits

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
ALPN = "h2", "http/1.1"  # the protocols that are offered by default

OP_LEGACY_SERVER_CONNECT = 0x4       # which ssl names from Python 3.12 on
OP_ENABLE_MIDDLEBOX_COMPAT = 1 << 20

# Lines of PEM: RFC 7468, sections 5, 10 and 11, and OpenSSL's own.
CERTIFICATE = re.compile(rb"^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----", re.MULTILINE)
KEY = re.compile(rb"^-----BEGIN ([A-Z]+ )?PRIVATE KEY-----", re.MULTILINE)


class Client(NamedTuple):
    """The settings of a connection."""

    version: Optional[str] = None       # a key of VERSIONS; None: either
    tickets: bool = True                # False: takes none, so that TLS 1.2 has session ids alone
    certificate: Optional[str] = None   # a PEM file with the client's chain and key
    verify: bool = False                # the server's certificate
    ca_file: Optional[str] = None       # by which; None: the system's CAs
    timeout: float = 5.0                # seconds, for the whole of a connection
    request: bool = False               # ask for a page in TLS 1.3: some give tickets only with an answer
    alpn: tuple[str, ...] = ()          # application protocols to offer
    starttls: str = ""                  # a key of starttls.PROTOCOLS; empty: TLS from the beginning
    brief: bool = False                 # do not wait for tickets after a resumed handshake, only for a refusal


def context(client: Client, messages: Callable[..., None]) -> ssl.SSLContext:
    """Return an SSLContext for one connection, which passes all handshake messages to `messages`."""
    ctx = unlimited()
    if client.verify:
        ctx.check_hostname, ctx.verify_mode = True, ssl.CERT_REQUIRED
        ctx.set_ciphers("DEFAULT:@SECLEVEL=2")  # as others' clients have it
        load_authorities(ctx, client.ca_file) if client.ca_file else ctx.load_default_certs()
    if client.version is not None:
        ctx.minimum_version = ctx.maximum_version = VERSIONS[client.version]
    if not client.tickets:
        ctx.options |= ssl.OP_NO_TICKET
    if client.certificate is not None:
        load_certificate(ctx, client.certificate)
    if client.alpn:
        ctx.set_alpn_protocols([*client.alpn])
    # For debugging, says CPython, which has had it since 3.8: nothing else tells whether a server has
    # asked for a certificate, or shows that of one that refuses.
    setattr(ctx, "_msg_callback", messages)  # noqa: B010
    return ctx


def unlimited() -> ssl.SSLContext:
    """Return a client's SSLContext that accepts any server, because an audit does not need to trust it.

    What openssl.cnf says of all contexts would be told as the server's fault: it does not count.
    """
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    ctx.options = ssl.OP_ALL | ssl.OP_NO_COMPRESSION | OP_ENABLE_MIDDLEBOX_COMPAT | OP_LEGACY_SERVER_CONNECT
    ctx.minimum_version, ctx.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.MAXIMUM_SUPPORTED
    ctx.set_ciphers("DEFAULT:@SECLEVEL=0")
    lift_limits(ctx)
    return ctx


def limits() -> list[str]:
    """Return the settings of openssl.cnf that still limit the client, by their names there."""
    return lift_limits(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def load_certificate(ctx: ssl.SSLContext, path: str, key: Optional[str] = None) -> None:
    """Load a chain and its key, which may be in a file of its own.

    Raises OSError, also for a key with a pass phrase: there is no prompt for it.
    """
    def refuse() -> str:
        raise OSError("its key has a pass phrase: pass a file with an unencrypted key")

    try:
        ctx.load_cert_chain(path, key, password=refuse)
    except ssl.SSLError as error:
        text = Path(path).read_bytes()
        if not CERTIFICATE.search(text):
            raise OSError("it contains no certificate in PEM format") from None
        if not KEY.search(text if key is None else Path(key).read_bytes()):
            raise OSError("it has no private key: put the key into the same file as its certificate") from None
        if error.reason == "KEY_VALUES_MISMATCH":
            raise OSError("its private key does not match its first certificate") from None
        raise OSError(f"OpenSSL does not take it: {(error.reason or str(error)).replace('_', ' ').lower()}") from None


def load_authorities(ctx: ssl.SSLContext, path: str) -> None:
    """Load the trusted CAs. Raises OSError."""
    try:
        ctx.load_verify_locations(path)
    except ssl.SSLError as error:
        if not CERTIFICATE.search(Path(path).read_bytes()):
            raise OSError("it contains no certificate in PEM format") from None
        raise OSError(f"OpenSSL does not take it: {(error.reason or str(error)).replace('_', ' ').lower()}") from None
