from collections.abc import Iterable
from ssl import SSLContext
from typing import Any, Literal, Optional, Union, final

from pysidctx._typing import Buffer, Path
from pysidctx.private_files import Content
from pysidctx.secret_files import OfEnvironment
from pysidctx.tickets.stats import TicketStats

PERIOD: int  # seconds
LIFETIME: int  # seconds
KEY_FILE: Content

@final
class TicketKeys:
    @property
    def _made_in(self) -> Optional[int]: ...  # the id of the process that created random keys; otherwise None
    def __init__(self, *, period: int = 3600, lifetime: int = 86400) -> None: ...  # seconds
    @staticmethod
    def from_secret(
        secret: Buffer,  # 32 to 1,024 bytes
        *,
        period: int = 3600,
        lifetime: int = 86400,
    ) -> TicketKeys: ...
    @staticmethod
    def from_secret_file(
        path: Union[Path, OfEnvironment] = ...,  # by default, the file that PYSIDCTX_SECRET_FILE names
        *,
        period: Optional[int] = None,  # None: without path, PYSIDCTX_PERIOD; else 3600
        lifetime: Optional[int] = None,  # None: without path, PYSIDCTX_LIFETIME; else 86400
    ) -> TicketKeys: ...
    @staticmethod
    def from_files(
        paths: Iterable[Path],
        *,
        lifetime: int = 86400,
        layout: Literal["nginx", "apache"] = "nginx",
    ) -> TicketKeys: ...
    def reload(self) -> None: ...
    def install(self, ctx: SSLContext) -> None: ...
    def uninstall(self, ctx: SSLContext) -> None: ...
    def stats(self) -> TicketStats: ...
    @property
    def lifetime(self) -> int: ...  # seconds
    @property
    def period(self) -> Optional[int]: ...  # seconds; None for keys from files
    @property
    def fingerprint(self) -> Optional[str]: ...  # of the secret; None for keys from files
    def __reduce__(self) -> tuple[Any, ...]: ...
