from ssl import SSLContext, SSLObject, SSLSocket
from typing import Protocol, Union

from pysidctx._typing import Buffer

class _HasSSLObject(Protocol):  # such as gevent's SSLSocket
    @property
    def _sslobj(self) -> object: ...

class _SSLObject(Protocol):  # the `_ssl` object beneath an SSLSocket or SSLObject
    @property
    def owner(self) -> object: ...
    def pending(self) -> int: ...

MAX_SID_CTX_LENGTH: int
_C_API: object  # the capsule that pysidctx.h imports

def set_session_id_context(
    target: Union[SSLContext, SSLSocket, SSLObject, _HasSSLObject, _SSLObject],
    sid_ctx: Buffer,  # 0 to MAX_SID_CTX_LENGTH bytes; 0 for a client with an external PSK in TLS 1.3
) -> None: ...
