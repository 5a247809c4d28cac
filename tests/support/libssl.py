"""The interpreter's libssl through ctypes, against which the tests check pysidctx."""

import _ssl
import ctypes
import functools
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Optional, Union

# Symbols of a library that the named file has loaded are found by its handle too.
Connection = Union[ssl.SSLObject, ssl.SSLSocket]
_library = ctypes.CDLL(getattr(_ssl, "__file__", None))

SSL_MAX_SID_CTX_LENGTH = 32
SSL_R_SSL_SESSION_ID_CONTEXT_TOO_LONG = 273
SSL_CTRL_SET_TLSEXT_HOSTNAME = 55
SSL_CTRL_SET_SESS_CACHE_MODE = 44
SSL_SESS_CACHE_OFF = 0
SSL_SESS_CACHE_SERVER_ALONE = 0x300 | 2  # neither looked up nor stored in the internal cache
SSL_OP_NO_EXTENDED_MASTER_SECRET = 1  # from OpenSSL 3.0 on
SSL_OP_ALLOW_CLIENT_RENEGOTIATION = 1 << 8  # from OpenSSL 3.0 on
SSL_CTRL_GET_TLSEXT_TICKET_KEYS = 58
SSL_CTRL_SET_TLSEXT_TICKET_KEYS = 59
TLSEXT_NAMETYPE_host_name = 0
X509_V_FLAG_NO_CHECK_TIME = 0x200000


@functools.lru_cache(None)
def _hidden() -> dict[str, int]:
    """The addresses of the functions of the program itself, for an OpenSSL that is linked into it and hidden."""
    listed = subprocess.run(["nm", "--defined-only", sys.executable], capture_output=True, text=True, check=True).stdout
    places = {name: int(value, 16) for value, kind, name in map(str.split, listed.splitlines()) if kind in "Tt"}
    base = _address_of(ctypes.pythonapi.Py_GetVersion) - places["Py_GetVersion"]
    return {name: base + value for name, value in places.items()}


def _address(place: ctypes.c_void_p) -> int:
    assert place.value is not None
    return place.value


def _address_of(function: Any) -> int:
    return _address(ctypes.cast(function, ctypes.c_void_p))


def _function(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.CFUNCTYPE(result, *arguments)(address_of(name))


def address_of(name: str) -> int:
    """Where one of OpenSSL's functions lies."""
    return _address_of(_library[name]) if shared() else _hidden()[name]


def shared() -> bool:
    """Whether it is a shared library; else it is linked into the program, and hidden there."""
    return hasattr(_ssl, "__file__") or hasattr(ctypes.pythonapi, "SSL_new")


SSL_CTX_set_session_id_context = _function(
    "SSL_CTX_set_session_id_context",
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint,
)
SSL_set_session_id_context = _function(
    "SSL_set_session_id_context", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint
)
SSL_dup = _function("SSL_dup", ctypes.c_void_p, ctypes.c_void_p)
SSL_free = _function("SSL_free", None, ctypes.c_void_p)
SSL_get_rbio = _function("SSL_get_rbio", ctypes.c_void_p, ctypes.c_void_p)
SSL_get_wbio = _function("SSL_get_wbio", ctypes.c_void_p, ctypes.c_void_p)
SSL_set_bio = _function("SSL_set_bio", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
BIO_up_ref = _function("BIO_up_ref", ctypes.c_int, ctypes.c_void_p)
SSL_get_session = _function("SSL_get_session", ctypes.c_void_p, ctypes.c_void_p)
SSL_SESSION_get0_id_context = _function(
    "SSL_SESSION_get0_id_context",
    ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint),
)
SSL_get_SSL_CTX = _function("SSL_get_SSL_CTX", ctypes.c_void_p, ctypes.c_void_p)
SSL_set_SSL_CTX = _function("SSL_set_SSL_CTX", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
SSL_ctrl = _function(
    "SSL_ctrl", ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p
)
SSL_CTX_ctrl = _function(
    "SSL_CTX_ctrl", ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p
)
SSL_renegotiate = _function("SSL_renegotiate", ctypes.c_int, ctypes.c_void_p)
SSL_SESSION_get0_hostname = _function(
    "SSL_SESSION_get0_hostname", ctypes.c_char_p, ctypes.c_void_p)
SSL_get_security_level = _function("SSL_get_security_level", ctypes.c_int, ctypes.c_void_p)
_VERIFY_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
SSL_CTX_set_verify = _function(
    "SSL_CTX_set_verify", None, ctypes.c_void_p, ctypes.c_int, _VERIFY_CALLBACK)
SSL_CTX_set_verify_depth = _function(
    "SSL_CTX_set_verify_depth", None, ctypes.c_void_p, ctypes.c_int)
SSL_get_verify_depth = _function("SSL_get_verify_depth", ctypes.c_int, ctypes.c_void_p)
SSL_CTX_set_ciphersuites = _function(
    "SSL_CTX_set_ciphersuites", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
SSL_CTX_remove_session = _function(
    "SSL_CTX_remove_session", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
SSL_set_session = _function("SSL_set_session", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
SSL_SESSION_set_protocol_version = _function(
    "SSL_SESSION_set_protocol_version", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
SSL_SESSION_new = _function("SSL_SESSION_new", ctypes.c_void_p)
SSL_SESSION_free = _function("SSL_SESSION_free", None, ctypes.c_void_p)
SSL_SESSION_set_time = _function(
    "SSL_SESSION_set_time", ctypes.c_long, ctypes.c_void_p, ctypes.c_long)
SSL_SESSION_set_timeout = _function(
    "SSL_SESSION_set_timeout", ctypes.c_long, ctypes.c_void_p, ctypes.c_long)
SSL_SESSION_set1_hostname = _function(
    "SSL_SESSION_set1_hostname", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
SSL_SESSION_get_master_key = _function(
    "SSL_SESSION_get_master_key",
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
d2i_SSL_SESSION = _function(
    "d2i_SSL_SESSION",
    ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char_p), ctypes.c_long)
i2d_SSL_SESSION = _function(
    "i2d_SSL_SESSION", ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char_p))
SSL_SESSION_get0_ticket = _function(
    "SSL_SESSION_get0_ticket",
    None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t))
SSL_SESSION_get0_ticket_appdata = _function(
    "SSL_SESSION_get0_ticket_appdata", ctypes.c_int,
    ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t))
SSL_SESSION_set1_ticket_appdata = _function(
    "SSL_SESSION_set1_ticket_appdata",
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
TICKET_MADE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
TICKET_READ = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t,
                               ctypes.c_int, ctypes.c_void_p)
SSL_CTX_set_session_ticket_cb = _function(
    "SSL_CTX_set_session_ticket_cb", ctypes.c_int, ctypes.c_void_p, TICKET_MADE, TICKET_READ, ctypes.c_void_p)
NEW_SESSION = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
GET_SESSION = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_int, ctypes.POINTER(ctypes.c_int))
INFO = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
SSL_state_string = _function("SSL_state_string", ctypes.c_char_p, ctypes.c_void_p)
SSL_CTX_set_info_callback = _function("SSL_CTX_set_info_callback", None, ctypes.c_void_p, INFO)
SSL_CTX_sess_set_new_cb = _function("SSL_CTX_sess_set_new_cb", None, ctypes.c_void_p, NEW_SESSION)
SSL_CTX_sess_set_get_cb = _function("SSL_CTX_sess_set_get_cb", None, ctypes.c_void_p, GET_SESSION)
SSL_SESSION_get_id = _function(
    "SSL_SESSION_get_id", ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint))
SSL_SESSION_get_time = _function("SSL_SESSION_get_time", ctypes.c_long, ctypes.c_void_p)
SSL_SESSION_get_timeout = _function("SSL_SESSION_get_timeout", ctypes.c_long, ctypes.c_void_p)
SSL_CTX_get_timeout = _function("SSL_CTX_get_timeout", ctypes.c_long, ctypes.c_void_p)
SSL_CTX_set_timeout = _function(
    "SSL_CTX_set_timeout", ctypes.c_long, ctypes.c_void_p, ctypes.c_long)
ERR_peek_error = _function("ERR_peek_error", ctypes.c_ulong)
ERR_get_error = _function("ERR_get_error", ctypes.c_ulong)

_HEAD = object.__basicsize__


_time = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(_address_of(ctypes.CDLL(None).time))


def now() -> int:
    """The time in seconds by time(2), which OpenSSL asks. It may be a tick behind `time.time()`."""
    seconds: int = _time(None)
    return seconds


def pointer(target: Union[ssl.SSLContext, Connection]) -> int:
    """The SSL_CTX* or SSL* of an ssl object."""
    if isinstance(target, ssl.SSLContext):
        return _address(ctypes.c_void_p.from_address(id(target) + _HEAD))
    return _address(_place_of_pointer(target))


def _place_of_pointer(connection: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p.from_address(
        id(connection._sslobj) + _HEAD + ctypes.sizeof(ctypes.c_void_p))


def duplicate(connection: Connection) -> None:
    """Replace a connection's SSL by a copy from SSL_dup()."""
    place = _place_of_pointer(connection)
    original, copy = place.value, SSL_dup(place.value)
    bios = SSL_get_rbio(original), SSL_get_wbio(original)
    for bio in bios:
        BIO_up_ref(bio)
    SSL_set_bio(copy, *bios)
    place.value = copy
    SSL_free(original)


def session_id_context(connection: Connection) -> bytes:
    """The id context of a connection's session."""
    length = ctypes.c_uint()
    data = SSL_SESSION_get0_id_context(SSL_get_session(pointer(connection)), length)
    return ctypes.string_at(data, length.value)


def acknowledged_name(client: Connection) -> Optional[bytes]:
    """The name that the server acknowledged: OpenSSL files it in the client's session then."""
    name: Optional[bytes] = SSL_SESSION_get0_hostname(SSL_get_session(pointer(client)))
    return name


def set_server_name(client: Connection, name: Optional[bytes]) -> None:
    """Have a client send any bytes for a name, but NUL, in its next ClientHello; None for none."""
    assert SSL_ctrl(
        pointer(client), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) == 1


def ticket_callbacks(prepare: Callable[[int], int]) -> tuple[Any, Any]:
    """For SSL_CTX_set_session_ticket_cb(), which does not keep them: `prepare` gets the session of each ticket."""
    return (TICKET_MADE(lambda connection, argument: prepare(SSL_get_session(connection))),
            TICKET_READ(lambda connection, session, name, length, status, argument: 2))


def verify_callback(function: Callable[[int], int]) -> Any:
    """For SSL_CTX_set_verify(), which does not keep it: called with OpenSSL's verdict."""
    return _VERIFY_CALLBACK(lambda ok, store_ctx: function(ok))


def file_of(library: str) -> str:
    """The file of the interpreter's libssl or libcrypto."""
    loaded = getattr(_ssl, "__file__", sys.executable)
    linked = subprocess.run(["ldd", loaded], capture_output=True, text=True, check=True)
    path: str
    (path,) = re.findall(rf"{library}\S* => (\S+)", linked.stdout)
    return path


@contextmanager
def session_from(der: bytes) -> Iterator[int]:
    """An SSL_SESSION* for as long as the block lasts."""
    session = d2i_SSL_SESSION(None, ctypes.c_char_p(der), len(der))
    assert session
    try:
        yield session
    finally:
        SSL_SESSION_free(session)


def session_id(session: int) -> bytes:
    length = ctypes.c_uint()
    data = SSL_SESSION_get_id(session, length)
    return ctypes.string_at(data, length.value)


def der_of(session: int) -> bytes:
    data = ctypes.create_string_buffer(i2d_SSL_SESSION(session, None))
    i2d_SSL_SESSION(session, ctypes.c_char_p(ctypes.addressof(data)))
    return data.raw


def master_key(der: bytes) -> bytes:
    """The secret in a session."""
    with session_from(der) as session:
        data = ctypes.create_string_buffer(64)
        length = SSL_SESSION_get_master_key(session, data, len(data))
        return data.raw[:length]


def ticket(der: bytes) -> bytes:
    """What the server encrypted."""
    return _bytes_in(der, SSL_SESSION_get0_ticket)


def ticket_appdata(der: bytes) -> bytes:
    """What the server filed in its ticket for itself."""
    return _bytes_in(der, SSL_SESSION_get0_ticket_appdata)


def _bytes_in(der: bytes, getter: Callable[..., object]) -> bytes:
    with session_from(der) as session:
        data, length = ctypes.c_void_p(), ctypes.c_size_t()
        getter(session, data, length)
        return ctypes.string_at(data, length.value)


def changed(der: bytes, setter: Callable[..., object], value: object) -> bytes:
    """A session after a call of one of OpenSSL's setters."""
    with session_from(der) as session:
        setter(session, value)
        return der_of(session)


def set_session(connection: Connection, der: bytes) -> None:
    """As CPython does for its own SSLSession."""
    with session_from(der) as session:
        assert SSL_set_session(pointer(connection), session) == 1


def set_session_cache_off(context: ssl.SSLContext) -> None:
    SSL_CTX_ctrl(pointer(context), SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, None)


def mark_not_resumable(connection: Connection) -> None:
    """As OpenSSL does with the session of a connection that fails."""
    ssl_pointer = pointer(connection)
    SSL_CTX_remove_session(SSL_get_SSL_CTX(ssl_pointer), SSL_get_session(ssl_pointer))


def queued_reasons() -> list[int]:
    """The reasons in OpenSSL's error queue of this thread, which is empty afterwards."""
    reasons = []
    while code := ERR_get_error():
        reasons.append(code & (0x7FFFFF if ssl.OPENSSL_VERSION_INFO >= (3,) else 0xFFF))
    return reasons
