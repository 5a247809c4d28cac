from ssl import SSLContext
from typing import ClassVar, Literal, Optional, TypeVar, final

from pysidctx._typing import Buffer
from pysidctx.cache.session_cache import SessionCache
from pysidctx.tickets.ticket_keys import TicketKeys

WHEN: tuple[str, str]

_Context = TypeVar("_Context", bound=SSLContext)

def resumable(
    ctx: _Context,
    keys: TicketKeys,
    *,
    cache: Optional[SessionCache] = None,
    cache_when: Optional[Literal["client-certificates", "always"]] = None,
    id_context: Optional[Buffer] = None,  # 1 to 32 bytes, added to the context's fingerprint
    exact_id_context: Optional[Buffer] = None,  # 1 to 32 bytes, instead of the fingerprint
) -> _Context: ...
def checked_id_contexts(
    id_context: Optional[Buffer], exact_id_context: Optional[Buffer]
) -> tuple[Optional[bytes], Optional[bytes]]: ...
def check_cache_when(cache: Optional[SessionCache], cache_when: Optional[str]) -> None: ...
def connecting(ctx: SSLContext) -> SSLContext: ...
def installed_on(ctx: SSLContext) -> tuple[bytes, int]: ...
def use_keys_of(source: SSLContext, ctx: SSLContext) -> None: ...
def cache_on(ctx: SSLContext) -> Optional[InstalledCache]: ...
def use_installed_cache(ctx: SSLContext, found: Optional[InstalledCache]) -> None: ...

@final
class InstalledCache:
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __eq__(self, other: object, /) -> bool: ...
