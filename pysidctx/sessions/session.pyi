from datetime import datetime, timedelta
from ssl import SSLObject, SSLSession, SSLSocket
from typing import NoReturn, Optional, Union, final

from pysidctx._typing import Buffer, Path
from pysidctx.id_contexts.setters import _HasSSLObject

_Connection = Union[SSLSocket, SSLObject, _HasSSLObject]

@final
class Session:
    @staticmethod
    def of(source: Union[_Connection, SSLSession], *, host: Optional[str] = None) -> Session: ...
    @staticmethod
    def from_der(
        data: Buffer,
        *,
        id_context: Optional[Buffer],  # 0 to MAX_SID_CTX_LENGTH bytes
        host: Optional[str] = None,
    ) -> Session: ...
    @staticmethod
    def from_pem(
        text: Union[str, Buffer], *, id_context: Optional[Buffer], host: Optional[str] = None
    ) -> Session: ...
    @staticmethod
    def load(
        path: Path,
        *,
        id_context: Optional[Buffer],
        host: Optional[str] = None,
        shared: bool = False,
    ) -> Session: ...
    def to_der(self) -> bytes: ...
    def to_pem(self) -> str: ...
    def save(self, path: Path) -> None: ...
    def with_id_context(self, sid_ctx: Buffer) -> Session: ...  # 0 to MAX_SID_CTX_LENGTH bytes
    def resume_on(self, conn: _Connection, *, any_host: bool = False) -> None: ...
    @property
    def id(self) -> bytes: ...  # 0 to 32 bytes
    @property
    def id_context(self) -> bytes: ...  # 0 to 32 bytes
    @property
    def protocol(self) -> str: ...
    @property
    def cipher(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def timeout(self) -> timedelta: ...
    @property
    def has_ticket(self) -> bool: ...
    @property
    def ticket_lifetime_hint(self) -> int: ...  # seconds
    @property
    def resumable(self) -> bool: ...
    @property
    def peer_certificate(self) -> Optional[bytes]: ...  # DER
    @property
    def hostname(self) -> Optional[str]: ...
    def __reduce__(self) -> NoReturn: ...
