from ssl import SSLContext
from typing import Any, Literal, Optional, Protocol, Union, final, type_check_only

from pysidctx._typing import Buffer, Path
from pysidctx.cache.replication import Channel, Replication
from pysidctx.cache.stats import CacheStats
from pysidctx.secret_files import OfEnvironment

SIZE: int  # bytes
PERIOD: int  # seconds
LIFETIME: int  # seconds
PEERS: int
MOST_PEERS: int
ANNOUNCED_WITHIN: int  # seconds
WHEN: tuple[str, str]

@type_check_only
class Store(Protocol):
    def get(self, key: bytes) -> Optional[Buffer]: ...
    def put(self, key: bytes, value: bytes, seconds: int) -> object: ...
    def delete(self, key: bytes) -> object: ...

@final
class SessionCache:
    @property
    def _made_in(self) -> Optional[int]: ...  # the id of the process that created random keys; otherwise None
    def __init__(
        self,
        *,
        size: int = 67108864,  # bytes
        lifetime: int = 86400,  # seconds
        period: int = 3600,  # seconds
        peers: int = 4096,
    ) -> None: ...
    @staticmethod
    def from_secret(
        secret: Buffer,  # 32 to 1,024 bytes
        *,
        memory: Optional[Path] = None,  # None: anonymous
        size: int = 67108864,
        lifetime: int = 86400,
        period: int = 3600,
        peers: int = 4096,
        store: Optional[Store] = None,
    ) -> SessionCache: ...
    @staticmethod
    def from_secret_file(
        path: Union[Path, OfEnvironment] = ...,  # by default, the file that PYSIDCTX_SECRET_FILE names
        *,
        memory: Optional[Path] = None,
        size: int = 67108864,
        lifetime: Optional[int] = None,  # None: without path, PYSIDCTX_LIFETIME; else 86400
        period: Optional[int] = None,  # None: without path, PYSIDCTX_PERIOD; else 3600
        peers: int = 4096,
        store: Optional[Store] = None,
    ) -> SessionCache: ...
    def install(
        self,
        ctx: SSLContext,
        when: Literal["client-certificates", "always"] = "client-certificates",
    ) -> None: ...
    def uninstall(self, ctx: SSLContext) -> None: ...
    def _when_on(self, ctx: SSLContext) -> Optional[str]: ...
    def forget(
        self,
        *,
        peer: Optional[Buffer] = None,  # a certificate in DER
        id_context: Optional[Buffer] = None,  # at most 32 bytes
    ) -> None: ...
    def forget_all(self) -> None: ...
    def replicate(self, channel: Channel) -> Replication: ...
    def _lead(self) -> bool: ...
    def _follow(self) -> None: ...
    def _keep_active(self, seconds: int) -> None: ...
    def _head(self) -> int: ...
    def _outgoing(self, turn: int, most: int, skip_unfinished: bool) -> tuple[int, int, bytes]: ...
    def _forgotten(self) -> tuple[int, bytes]: ...
    def _generation(self) -> int: ...
    def _announce(self, generation: Optional[int]) -> None: ...
    def _incoming(self, batch: bytes, forgotten_alone: bool, lag: int) -> bool: ...
    def _count_published(self, count: int) -> None: ...
    def _drop(self, count: int) -> None: ...
    def _lose(self) -> None: ...
    def stats(self) -> CacheStats: ...
    @property
    def lifetime(self) -> int: ...  # seconds
    @property
    def period(self) -> int: ...  # seconds
    @property
    def size(self) -> int: ...  # bytes
    @property
    def memory(self) -> Optional[str]: ...
    @property
    def fingerprint(self) -> str: ...  # of the secret
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
