"""The libssl of the interpreter by way of ctypes: what the tests check pysidctx against."""

import _ssl
import ctypes
import re
import ssl
import subprocess

# Symbols of a library that the named file has loaded are found by its handle too.
_library = ctypes.CDLL(getattr(_ssl, "__file__", None))

SSL_MAX_SID_CTX_LENGTH = 32
SSL_R_SSL_SESSION_ID_CONTEXT_TOO_LONG = 273
SSL_OP_ALLOW_CLIENT_RENEGOTIATION = 1 << 8  # from OpenSSL 3.0 on


def _function(name, result, *arguments):
    function = _library[name]
    function.restype = result
    function.argtypes = arguments
    return function


SSL_CTX_set_session_id_context = _function(
    "SSL_CTX_set_session_id_context",
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint,
)
SSL_set_session_id_context = _function(
    "SSL_set_session_id_context", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint
)
SSL_dup = _function("SSL_dup", ctypes.c_void_p, ctypes.c_void_p)
SSL_free = _function("SSL_free", None, ctypes.c_void_p)
SSL_get_session = _function("SSL_get_session", ctypes.c_void_p, ctypes.c_void_p)
SSL_SESSION_get0_id_context = _function(
    "SSL_SESSION_get0_id_context",
    ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint),
)
SSL_renegotiate = _function("SSL_renegotiate", ctypes.c_int, ctypes.c_void_p)
SSL_get_servername = _function("SSL_get_servername", ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
SSL_SESSION_get0_hostname = _function(
    "SSL_SESSION_get0_hostname", ctypes.c_char_p, ctypes.c_void_p)
ERR_peek_error = _function("ERR_peek_error", ctypes.c_ulong)
ERR_get_error = _function("ERR_get_error", ctypes.c_ulong)

_HEAD = object.__basicsize__


def pointer(target):
    """The SSL_CTX* or SSL* of an ssl object."""
    if isinstance(target, ssl.SSLContext):
        return ctypes.c_void_p.from_address(id(target) + _HEAD).value
    connection = target._sslobj
    place = id(connection) + _HEAD + ctypes.sizeof(ctypes.c_void_p)
    return ctypes.c_void_p.from_address(place).value


def session_id_context(connection):
    """The id context of a connection's session."""
    length = ctypes.c_uint()
    data = SSL_SESSION_get0_id_context(SSL_get_session(pointer(connection)), length)
    return ctypes.string_at(data, length.value)


def acknowledged_name(client):
    """The name that the server acknowledged: OpenSSL files it in the client's session then."""
    return SSL_SESSION_get0_hostname(SSL_get_session(pointer(client)))


def file_of(library):
    """The file of the interpreter's libssl or libcrypto."""
    linked = subprocess.run(["ldd", _ssl.__file__], capture_output=True, text=True, check=True)
    (path,) = re.findall(rf"{library}\S* => (\S+)", linked.stdout)
    return path


def queued_reasons():
    """The reasons in OpenSSL's error queue of this thread, which is empty afterwards."""
    reasons = []
    while code := ERR_get_error():
        reasons.append(code & (0x7FFFFF if ssl.OPENSSL_VERSION_INFO >= (3,) else 0xFFF))
    return reasons
