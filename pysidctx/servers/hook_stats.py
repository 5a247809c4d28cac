"""stats(): what the hooks of this process have done, and what all workers of the server have counted."""

from typing import NamedTuple, Optional

from pysidctx.cache.stats import CacheStats
from pysidctx.hosts.host import HostMapStats
from pysidctx.lockfree.totals import Totals
from pysidctx.servers.factory import SSLContextFactory, all_factories
from pysidctx.servers.shared_counts import shared_counts
from pysidctx.tickets.stats import TicketStats


class HookStats(NamedTuple):
    """What a hook has done in this process."""

    tickets: TicketStats
    sessions: Optional[CacheStats]
    hosts: tuple[HostMapStats, ...]
    contexts: int
    renewed: int
    failed: int


HookStats.tickets.__doc__ = "The TicketStats of its TicketKeys."
HookStats.sessions.__doc__ = "The CacheStats of its SessionCache; None if it has none."
HookStats.hosts.__doc__ = "The HostMapStats of each HostMap that is installed on its contexts, as a tuple."
HookStats.contexts.__doc__ = "How many SSLContexts it uses at present, an int: one for each server."
HookStats.renewed.__doc__ = "How often one of them was built again because a watched file had changed, an int."
HookStats.failed.__doc__ = "How often that failed, an int: see `Totals.context_failures`."


class Stats(NamedTuple):
    """What `stats()` returns."""

    hooks: tuple[HookStats, ...]
    all_workers: Totals
    memory: Optional[str]


Stats.hooks.__doc__ = "A HookStats for each hook that has built a context in this process, as a tuple."
Stats.all_workers.__doc__ = "The Totals of all processes that share the memory."
Stats.memory.__doc__ = (
    "The path of the file that they share, a str; None for the anonymous memory that this process shares with those "
    "that were forked from the process that imported `pysidctx.servers`.")


def stats() -> Stats:
    """Return what the hooks of this process have done, and what all workers of the server have counted, as a Stats.

    What a worker has counted is added up at once, whether it is idle, busy, blocked, or has ended in any way. Workers
    that are forked after `pysidctx.servers` was imported count together. Those that are spawned do so if the
    environment variable PYSIDCTX_STATS names a file, which should be in memory, such as /dev/shm/NAME. It is read when
    `pysidctx.servers` is imported. The file is made if there is none, with mode 0600, and keeps its counts when the
    server ends.

    Emits a RuntimeWarning if the counts lack those of other workers: if this worker has imported `pysidctx.servers`
    itself without that variable, if the file was removed or replaced, or if the variable has changed. Importing
    `pysidctx.servers` emits one if the file cannot be used. Safe in any thread. Raises ValueError if the environment
    variable is empty.
    """
    hooks = tuple(stats_of(factory) for factory in all_factories() if factory._current_contexts())
    return Stats(hooks, shared_counts.totals(), shared_counts.path)


def stats_of(factory: SSLContextFactory) -> HookStats:
    contexts = factory._current_contexts()
    maps = {id(found): found for found in (context.installed_map() for context in contexts) if found is not None}
    return HookStats(factory.keys.stats(), None if factory.cache is None else factory.cache.stats(),
                     tuple(found.stats() for found in maps.values()), len(contexts),
                     sum(context.renewed for context in contexts), sum(context.failed for context in contexts))
