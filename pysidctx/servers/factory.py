"""The hook that gunicorn and uvicorn call for a server's SSLContext: its sessions are resumed by every worker.

Importing this module creates the ticket keys: from the file that the environment variable
PYSIDCTX_SECRET_FILE names, or otherwise random keys, which workers that are forked later inherit. If PYSIDCTX_CACHE
names a file, too, it also opens the session cache in that file.
"""

import multiprocessing
import os
import ssl
import warnings
import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, NamedTuple, Optional, cast

import pysidctx.servers.gunicorn_hook  # noqa: F401, which warns where workers do not call the hook
from pysidctx import environment
from pysidctx._typing import Path
from pysidctx.cache.session_cache import SIZE, WHEN, SessionCache
from pysidctx.exceptions import Error
from pysidctx.log import log
from pysidctx.servers.current_context import Build, CurrentContext
from pysidctx.servers.identity import identity
from pysidctx.servers.process_lock import ProcessLock
from pysidctx.servers.shared_counts import shared_counts
from pysidctx.sharing import check_cache_when, checked_id_contexts, resumable
from pysidctx.tickets.ticket_keys import TicketKeys

# The settings of gunicorn, uvicorn and hypercorn that determine a context.
FILES = ("certfile", "keyfile", "ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
SETTINGS = (*FILES, "ssl_version", "cert_reqs", "ssl_cert_reqs", "ciphers", "ssl_ciphers",
            "keyfile_password", "ssl_keyfile_password", "verify_mode", "verify_flags", "alpn_protocols",
            "http_protocols", "http_protocol_class")

MAX_AGE = 24 * 3600  # seconds

# How many contexts a factory stores. Only a server that passes a new, distinguishable function in each call
# needs more.
MOST = 100

When = Literal["client-certificates", "always"]


class SSLContextFactory:
    """A hook `(config, default_factory)` with keys of your choice. The hook `ssl_context_factory` has default keys.

    Safe in any thread: several threads may create, call and pickle factories at the same time, while handshakes
    run in others. The functions that you pass as `default_factory` are called by one thread at a time for each
    context.

    keys
        The `TicketKeys` for all contexts.
    cache
        A `SessionCache` for all contexts, or None, as for `resumable()`.
    cache_when
        "client-certificates", "always", or None, as for `resumable()`.
    id_context, exact_id_context
        Bytes-like objects of 1 to 32 bytes, or None, as for `resumable()`; pass at most one. With
        `id_context`, or none, sessions are no longer resumed after a change of certificates, CAs or revocation
        lists. With `exact_id_context` they still are.
    watch
        An iterable of paths of further files and folders to watch, such as those that `default_factory` opens
        itself.
    max_age
        A positive number of seconds after which a context is rebuilt even if no file has changed, or None for
        no limit. The default is 86,400 (24 hours).

    Calling the factory takes two arguments:

    config
        The configuration of gunicorn, uvicorn or hypercorn, or any object with the same TLS attributes.
    default_factory
        A function without arguments that returns a new `ssl.SSLContext` each time. Two functions count as the
        same function if their code, their defaults and the objects in their closures are the same.

    A call returns the context that `default_factory()` builds, after `resumable()` has been applied to it.
    The context is built once in each process for the same settings and the same function. Later calls return
    the same context, so a server may call the factory for every connection.

    The context is rebuilt without a restart, within a second after a watched file has changed and as soon as
    it is `max_age` seconds old. The next call rebuilds it, or the next connection of a context that an
    earlier call returned. Watched files are those of the configuration, those of `watch`, and those that
    `default_factory` loads in its own thread with the methods of any `ssl.SSLContext`: `load_cert_chain()`,
    `load_verify_locations()` (all files of a `capath`), `load_dh_params()`, `load_default_certs()` and
    `set_default_verify_paths()`. Files that `default_factory` opens itself, for example to pass their content
    as `cadata` or as a password, are not detected: name them in `watch`. Earlier sessions are still resumed if
    certificates, CAs, revocation lists and client verification are the same; otherwise their clients get full
    handshakes. If a file cannot be used, for example a certificate that does not match its key, the old context
    stays in use. The logger `pysidctx` tells of both: of a context that was rebuilt, and of the error.

    Settings that you change on a returned context later are copied to the contexts that replace it, within a
    second. If they change whom the context trusts or what it requires of clients, earlier sessions are no
    longer resumed. Copied are `verify_mode`, `verify_flags`, `options`, `minimum_version`,
    `maximum_version`, `num_tickets`, `post_handshake_auth`, `keylog_filename`, `sni_callback`,
    `sslobject_class`, `sslsocket_class`, a HostMap, TicketKeys, a SessionCache, an id context (if certificates or trust
    have changed, one that derives from it), and calls of the methods that load or set something. Other attributes
    of a subclass, and settings that C code changes, are not copied: set them in `default_factory`.

    A factory whose keys come from files, and whose cache is in a file, can be pickled, as uvicorn does for its workers;
    the files are then read again. An example is `SSLContextFactory(TicketKeys.from_secret_file())`.

    Raises TypeError if `keys` is not a TicketKeys, if `cache` is neither a SessionCache nor None, if an id context is
    not bytes-like, if `watch` is a single path, or if `max_age` is not a number; ValueError if an id context is empty
    or longer than 32 bytes, if both are passed, if `cache_when` is another word or is passed without a cache, or if
    `max_age` is not positive. A call raises TypeError if
    `default_factory` is not callable or returns None, and whatever `default_factory()` and `resumable()` raise. See
    SSL_CTX_set_session_id_context(3).
    """

    def __init__(self, keys: TicketKeys, *, cache: Optional[SessionCache] = None,
                 cache_when: Optional[When] = None, id_context: Optional[bytes] = None,
                 exact_id_context: Optional[bytes] = None, watch: Iterable[Path] = (),
                 max_age: Optional[float] = MAX_AGE) -> None:
        if not isinstance(keys, TicketKeys):
            raise TypeError(f"SSLContextFactory() needs TicketKeys, not {type(keys).__name__}: for a secret in a "
                            "file, pass TicketKeys.from_secret_file(path)")
        self._keys, self._cache, self._cache_when = keys, checked_cache(cache), cache_when
        check_cache_when(cache, cache_when)
        self._id_context, self._exact_id_context = checked_id_contexts(id_context, exact_id_context)
        self._watch = checked_watch(watch)
        self._max_age = checked_max_age(max_age)
        self._contexts: list[tuple[tuple[Any, ...], CurrentContext]] = []
        self._building = ProcessLock()
        with adding.here():
            factories.add(self)

    def __call__(self, config: Any, default_factory: Build) -> ssl.SSLContext:
        if not callable(default_factory):
            raise TypeError("the hook's second argument, default_factory, must be a function that returns an "
                            f"ssl.SSLContext, not {type(default_factory).__name__}: call hook(config, default_factory)")
        if is_one_of_several(config):
            shared_counts.is_in_one_of_several()
            if self._keys._made_in == os.getpid():
                warn_of_own_keys(config)
            if self._cache is not None and self._cache._made_in == os.getpid():
                warn_of_own_cache(config)
        settings = (type(config), identity(default_factory),
                    *(getattr(config, name, None) for name in SETTINGS))
        found = self._find(settings)
        if found is None:
            with self._building.here():
                found = self._find(settings) or self._add(settings, config, default_factory)
        return found.get()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SSLContextFactory, self._keys, cache=self._cache, cache_when=self._cache_when,
                       id_context=self._id_context, exact_id_context=self._exact_id_context, watch=self._watch,
                       max_age=self._max_age), ()

    @property
    def keys(self) -> TicketKeys:
        """The `TicketKeys` for all contexts."""
        return self._keys

    @property
    def cache(self) -> Optional[SessionCache]:
        """The `SessionCache` for all contexts, or None."""
        return self._cache

    def _current_contexts(self) -> tuple[CurrentContext, ...]:
        return tuple(context for _, context in tuple(self._contexts))

    def _find(self, settings: tuple[Any, ...]) -> Optional[CurrentContext]:
        for known, context in tuple(self._contexts):
            if known == settings:
                return context
        return None

    def _add(self, settings: tuple[Any, ...], config: Any, default_factory: Build) -> CurrentContext:
        files = [getattr(config, name, None) for name in FILES]
        made = CurrentContext(default_factory, self._finish, (*filter(None, files), *self._watch), self._max_age)
        if len(self._contexts) == MOST:
            log.warning("pysidctx has built %d contexts, each with a different default_factory, and now discards the "
                        "oldest: pass the same function to get the same context", MOST)
            del self._contexts[0]
        self._contexts.append((settings, made))
        return made

    def _finish(self, ctx: ssl.SSLContext) -> None:
        resumable(ctx, self._keys, cache=self._cache, cache_when=self._cache_when, id_context=self._id_context,
                  exact_id_context=self._exact_id_context)


factories: "weakref.WeakSet[SSLContextFactory]" = weakref.WeakSet()
adding = ProcessLock()


def all_factories() -> list[SSLContextFactory]:
    """Return those of this process that exist."""
    with adding.here():
        return list(factories)


def checked_cache(cache: Optional[SessionCache]) -> Optional[SessionCache]:
    if cache is not None and not isinstance(cache, SessionCache):
        raise TypeError(f"cache must be a SessionCache, not {type(cache).__name__}: for a memory in a file, pass "
                        "SessionCache.from_secret_file(memory=\"/dev/shm/NAME\")")
    return cache


def checked_watch(watch: Iterable[Path]) -> tuple[Path, ...]:
    if isinstance(watch, (str, bytes, os.PathLike)):
        raise TypeError("watch must be an iterable of paths, not a single path: pass a list, even for one path")
    paths = tuple(watch)
    for path in paths:
        if not os.path.exists(path):
            log.warning("the path %r in watch does not exist", os.fsdecode(path))
    return paths


def checked_max_age(max_age: Optional[float]) -> Optional[float]:
    if max_age is not None:
        if not isinstance(max_age, (int, float)) or isinstance(max_age, bool):
            raise TypeError(f"max_age must be a number of seconds or None, not {type(max_age).__name__}")
        if not max_age > 0:
            raise ValueError(f"max_age must be more than 0 seconds, not {max_age}: pass None for no limit")
    return max_age


def is_one_of_several(config: Any) -> bool:
    """Whether this process seems to be one of several workers."""
    return (getattr(config, "workers", None) != 1
            and (is_of_gunicorn(config) or multiprocessing.parent_process() is not None))


def is_of_gunicorn(config: Any) -> bool:
    """Whether this is gunicorn's configuration, which only a worker passes to the hook."""
    return type(config).__module__ == "gunicorn.config"


def warn_of_own_keys(config: Any) -> None:
    if is_of_gunicorn(config):
        why = "was forked before its ticket keys were created"
        way_out = ("Import pysidctx.servers, or create TicketKeys(), at the top of gunicorn.conf.py and not in a "
                   "function; or write")
    else:
        why, way_out = "was not forked but spawned", "Write"
    warnings.warn(
        f"pysidctx: this worker {why}, so it has different ticket keys than the other workers, and their clients get "
        f"full handshakes from it. {way_out} a secret with `python -m pysidctx secret PATH` and set the environment "
        f"variable {environment.SECRET_FILE} to the path of that file", RuntimeWarning, stacklevel=4)


def warn_of_own_cache(config: Any) -> None:
    if is_of_gunicorn(config):
        why, way_out = "was forked before its SessionCache was created", (
            "Create SessionCache() at the top of gunicorn.conf.py and not in a function, or share a file")
    else:
        why, way_out = "was not forked but spawned", "Share a file"
    warnings.warn(
        f"pysidctx: this worker {why}, so the other workers cannot resume the sessions that it stores. {way_out} in "
        "memory: SessionCache.from_secret_file(memory=\"/dev/shm/NAME\")", RuntimeWarning, stacklevel=4)


VARIABLES = (environment.SECRET_FILE, environment.CACHE, environment.CACHE_SIZE, environment.CACHE_WHEN,
             environment.ID_CONTEXT, environment.LIFETIME, environment.PERIOD)


class Environment(NamedTuple):
    """The variables that determine the default keys, the default cache and the name in the id context."""

    secret_file: Optional[str]
    cache: Optional[str]
    cache_size: Optional[int]
    cache_when: Optional[When]
    id_context: Optional[bytes]
    period: int
    lifetime: int

    @staticmethod
    def values() -> tuple[Optional[str], ...]:
        """What current() reads: it takes less time to compare that for each connection."""
        return tuple(map(os.environ.get, VARIABLES))

    @classmethod
    def current(cls) -> "Environment":
        """Raises ValueError if a variable is empty, too long, out of range, or not one of the words or a number."""
        return cls(environment.value(environment.SECRET_FILE), environment.value(environment.CACHE),
                   environment.integer(environment.CACHE_SIZE),
                   cast(Optional[When], environment.word(environment.CACHE_WHEN, WHEN)),
                   environment.id_context(), *environment.times())

    def keys(self, inherited: Optional[bytearray]) -> TicketKeys:
        """`inherited`: the secret of the parent process, if the environment names none."""
        if self.secret_file is not None:
            return TicketKeys.from_secret_file(self.secret_file, period=self.period, lifetime=self.lifetime)
        if inherited is not None:
            return TicketKeys.from_secret(inherited, period=self.period, lifetime=self.lifetime)
        return TicketKeys(period=self.period, lifetime=self.lifetime)

    def session_cache(self) -> Optional[SessionCache]:
        """Return the cache, if one is named. If it cannot be used, emit a RuntimeWarning: tickets do, too."""
        if self.cache is None:
            if self.cache_size is not None or self.cache_when is not None:
                warn_without_cache(f"because {environment.CACHE} is not set: "
                                   f"{environment.VARIABLES[environment.CACHE].way_out}")
            return None
        if self.secret_file is None:
            warn_without_cache(f"because {environment.SECRET_FILE} is not set, and processes that share the cache need "
                               f"the same secret: {environment.VARIABLES[environment.SECRET_FILE].way_out}")
            return None
        size = SIZE if self.cache_size is None else self.cache_size
        try:
            return SessionCache.from_secret_file(self.secret_file, memory=self.cache, size=size, period=self.period,
                                                 lifetime=self.lifetime)
        except (OSError, ValueError, MemoryError, Error) as error:
            warn_without_cache(
                f"because {self.cache!r} cannot be used as a memory of {size} bytes: {error or 'too little memory'}. "
                f"Set {environment.CACHE} to a path, and {environment.CACHE_SIZE} to a size, that can be used, and "
                "restart the server")
            return None


def warn_without_cache(why: str) -> None:
    warnings.warn(f"pysidctx: no sessions are stored, and clients get tickets, {why}", RuntimeWarning, stacklevel=5)


class Default:
    """The factory whose keys and cache were created at import, or are those that the environment has named since."""

    def __init__(self) -> None:
        self._reading = ProcessLock()
        self._secret: Optional[bytearray] = None
        self._values, self._environment = Environment.values(), Environment.current()
        self._factory = self._made(self._environment)

    def _made(self, variables: Environment) -> SSLContextFactory:
        cache = variables.session_cache()
        return SSLContextFactory(variables.keys(self._secret), cache=cache, id_context=variables.id_context,
                                 cache_when=None if cache is None else variables.cache_when)

    def current(self) -> SSLContextFactory:
        values = Environment.values()
        if values == self._values:
            return self._factory
        variables = Environment.current()
        with self._reading.here():
            if variables != self._environment:
                self._factory, self._environment = self._made(variables), variables
            self._values = values
            return self._factory

    def inherit(self, secret: bytearray) -> None:
        with self._reading.here():
            self._secret = secret
            if self._environment.secret_file is None:  # then there is no cache
                self._factory = SSLContextFactory(self._environment.keys(secret),
                                                  id_context=self._environment.id_context)


_default = Default()


def inherit_secret(secret: bytearray) -> None:
    """Derive the keys of this process from a secret, as long as the environment names none."""
    _default.inherit(secret)


def ssl_context_factory(config: Any, default_factory: Build) -> ssl.SSLContext:
    """Build a server's SSLContext once in each process, with ticket keys that all its workers share.

    Use it as gunicorn's hook `ssl_context` or as uvicorn's `ssl_context_factory`. `SSLContextFactory`
    documents the arguments, what is returned, and when the context is rebuilt. The id context is the one that
    `resumable()` derives. Safe in any thread.

    If the environment variable PYSIDCTX_SECRET_FILE names a file, the keys are
    `TicketKeys.from_secret_file()`, which is read when this module is imported. Otherwise the keys are random
    and created at import, and workers that are forked later inherit them. Workers that are spawned instead, as
    uvicorn and hypercorn do, get different random keys, and so does a gunicorn worker that imports this module
    itself; both emit a RuntimeWarning. Forks by other programs are not detected: import this module before
    they fork.

    If PYSIDCTX_CACHE names a file, too, such as /dev/shm/NAME, the sessions of connections on which a client
    certificate is requested are stored in it: it becomes the memory of a `SessionCache` with the same secret. It has
    PYSIDCTX_CACHE_SIZE bytes, by default 67,108,864. If PYSIDCTX_CACHE_WHEN is "always", all sessions are stored. If
    the memory cannot be used, a RuntimeWarning says why, and all clients get tickets.

    PYSIDCTX_LIFETIME and PYSIDCTX_PERIOD are the `lifetime` and the `period` of the keys and of the cache, in seconds:
    see `TicketKeys`. The bytes of PYSIDCTX_ID_CONTEXT, 1 to 32, are the `id_context` of `resumable()`: the name of the
    application. Processes and machines that are to resume each other's sessions need the same PYSIDCTX_PERIOD and
    PYSIDCTX_ID_CONTEXT.

    If PYSIDCTX_STATS names a file, all workers count in it: see `stats()`.

    Some worker classes do not call gunicorn's hook. Use the classes of `pysidctx.servers.aiohttp_worker` and
    `pysidctx.servers.uvicorn_worker` instead of those of aiohttp and uvicorn; a RuntimeWarning before gunicorn
    forks names the right one. Other classes that do not call the hook are not detected.

    Raises whatever `TicketKeys.from_secret_file()`, `default_factory()` and `resumable()` raise, and
    ValueError if an environment variable is empty, too long or out of range, or where it must be one, not a number or
    one of two words. Importing this module can raise the same errors for the environment variables and the secret.
    """
    return _default.current()(config, default_factory)


def ticket_keys() -> TicketKeys:
    """Return the TicketKeys that `ssl_context_factory` installs in this process, for example to call their `stats()`.

    Safe in any thread. Raises whatever `ssl_context_factory()` raises because of the environment.
    """
    return _default.current().keys


def session_cache() -> Optional[SessionCache]:
    """Return the SessionCache in which `ssl_context_factory` stores sessions in this process; None if there is none.

    Call its `stats()` in a worker, and `forget()` in any process that has the same environment variables. Safe in any
    thread. Raises whatever `ssl_context_factory()` raises because of the environment.
    """
    return _default.current()._cache
