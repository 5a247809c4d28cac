"""The hook that gunicorn and uvicorn call for a server's SSLContext: one that every worker resumes on.

When this module is imported it makes the ticket keys: from the file that the environment variable
PYSIDCTX_SECRET_FILE names, else random ones, which workers inherit that are forked later.
"""

import logging
import multiprocessing
import os
import ssl
import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any, Optional

import pysidctx.servers.gunicorn_hook  # noqa: F401, which warns where workers do not call the hook
from pysidctx import environment
from pysidctx._typing import Path
from pysidctx.servers.current_context import Build, CurrentContext
from pysidctx.servers.identity import identity
from pysidctx.servers.process_lock import ProcessLock
from pysidctx.sharing import checked_id_contexts, resumable
from pysidctx.tickets.ticket_keys import TicketKeys

# The settings of gunicorn, uvicorn and hypercorn that a context is made by.
FILES = ("certfile", "keyfile", "ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
SETTINGS = (*FILES, "ssl_version", "cert_reqs", "ssl_cert_reqs", "ciphers", "ssl_ciphers",
            "keyfile_password", "ssl_keyfile_password", "verify_mode", "verify_flags", "alpn_protocols",
            "http_protocols", "http_protocol_class")

MAX_AGE = 24 * 3600  # seconds

# How many contexts are kept. More are only asked for where each call has a function of its own that
# cannot be told from the last.
MOST = 100

log = logging.getLogger("pysidctx.servers")


class SSLContextFactory:
    """A hook `(config, default_factory)` with your own keys; `ssl_context_factory` has those for all.

    keys
        The `TicketKeys` for all contexts.
    id_context, exact_id_context
        As for `resumable()`: the first is added to what the context authenticates by, so that sessions
        from before a change of certificates, CAs or revocation lists are not resumed; the second stands
        alone, and they are.
    watch
        Paths of more files and folders to look at, such as those that `default_factory` opens itself.
    max_age
        In seconds: a context that is older is built anew, whatever files say. None: never.

    A call returns the context that `default_factory()` has built, made resumable. That is done once
    in a process for the same settings and the same function; later calls return the same context, and so
    may be made for every connection, in any thread.

    The context is built anew by the next call, and by the next connection of a context that was returned
    before, when a file has changed, within a second, and when it is `max_age` old; without a restart. What
    counts as a file: those of the configuration, those of `watch`, and those that `default_factory`
    loads in its own thread by the methods of any `ssl.SSLContext`: `load_cert_chain()`,
    `load_verify_locations()` (a `capath` with all that is in it), `load_dh_params()`,
    `load_default_certs()` and `set_default_verify_paths()`. Those that it opens itself, to pass what is
    in them as `cadata` or a password for example, cannot be noticed: name them in `watch`. Sessions from
    before are resumed if certificates, CAs, revocation lists and client verification are the same;
    if not, their clients get full handshakes. A file that cannot be used, such as a certificate that
    does not belong to the key, is logged, and the former context serves on.

    What is set later on a context that was returned is set on those that come after it, too, within a
    second, and ends the sessions from before if it changes whom the context trusts or what it demands:
    `verify_mode`, `verify_flags`, `options`, `minimum_version`, `maximum_version`, `num_tickets`,
    `post_handshake_auth`, `keylog_filename`, `sni_callback`, `sslobject_class`, `sslsocket_class`, a
    HostMap, TicketKeys, an id context (under other certificates or trust, one that derives from it),
    and what is called on it: its methods that load or set something. Other attributes of a subclass, and
    what C code sets, are not known here: set them in `default_factory`.

    config
        The configuration of gunicorn, uvicorn or hypercorn, or any object with their attributes for
        TLS.
    default_factory
        A function without arguments that returns an `ssl.SSLContext`, each time another one. It is the
        same as another function if its code is, and the objects that it has from around it.

    It can be pickled, as uvicorn does it for its workers, where its keys come from files, which are read
    again: `SSLContextFactory(TicketKeys.from_secret_file())`.

    Raises TypeError and ValueError for `keys` that are no TicketKeys, for an id context that cannot be
    one, for a `watch` that is a single path, and for a `max_age` that is no number or not positive; a
    call raises what `default_factory()` and `resumable()` raise.
    """

    def __init__(self, keys: TicketKeys, *, id_context: Optional[bytes] = None,
                 exact_id_context: Optional[bytes] = None, watch: Iterable[Path] = (),
                 max_age: Optional[float] = MAX_AGE) -> None:
        if not isinstance(keys, TicketKeys):
            raise TypeError(f"SSLContextFactory() needs TicketKeys, not {type(keys).__name__}: for the secret in a "
                            "file, TicketKeys.from_secret_file(path)")
        self._keys = keys
        self._id_context, self._exact_id_context = checked_id_contexts(id_context, exact_id_context)
        self._watch = checked_watch(watch)
        self._max_age = checked_max_age(max_age)
        self._contexts: list[tuple[tuple[Any, ...], CurrentContext]] = []
        self._building = ProcessLock()

    def __call__(self, config: Any, default_factory: Build) -> ssl.SSLContext:
        if not callable(default_factory):
            raise TypeError("the hook is called with (config, default_factory), a function that returns an "
                            f"ssl.SSLContext, not {type(default_factory).__name__}")
        if keys_are_of_one_worker(self._keys, config):
            warn_of_own_keys(config)
        settings = (type(config), identity(default_factory),
                    *(getattr(config, name, None) for name in SETTINGS))
        found = self._find(settings)
        if found is None:
            with self._building.here():
                found = self._find(settings) or self._add(settings, config, default_factory)
        return found.get()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SSLContextFactory, self._keys, id_context=self._id_context,
                       exact_id_context=self._exact_id_context, watch=self._watch, max_age=self._max_age), ()

    def _find(self, settings: tuple[Any, ...]) -> Optional[CurrentContext]:
        for known, context in tuple(self._contexts):
            if known == settings:
                return context
        return None

    def _add(self, settings: tuple[Any, ...], config: Any, default_factory: Build) -> CurrentContext:
        files = [getattr(config, name, None) for name in FILES]
        made = CurrentContext(default_factory, self._finish, (*filter(None, files), *self._watch), self._max_age)
        if len(self._contexts) == MOST:
            log.warning("%d contexts were built, each by another function, and the oldest is given up: "
                        "call with the same function for the same context", MOST)
            del self._contexts[0]
        self._contexts.append((settings, made))
        return made

    def _finish(self, ctx: ssl.SSLContext) -> None:
        resumable(ctx, self._keys, id_context=self._id_context, exact_id_context=self._exact_id_context)


def checked_watch(watch: Iterable[Path]) -> tuple[Path, ...]:
    if isinstance(watch, (str, bytes, os.PathLike)):
        raise TypeError("watch is for several paths: give it a list")
    paths = tuple(watch)
    for path in paths:
        if not os.path.exists(path):
            log.warning("%r, which is to be watched, is not there", os.fsdecode(path))
    return paths


def checked_max_age(max_age: Optional[float]) -> Optional[float]:
    if max_age is not None:
        if not isinstance(max_age, (int, float)) or isinstance(max_age, bool):
            raise TypeError(f"max_age is a number of seconds or None, not {type(max_age).__name__}")
        if not max_age > 0:
            raise ValueError(f"max_age is more than 0 seconds, not {max_age}; None for no limit")
    return max_age


def keys_are_of_one_worker(keys: TicketKeys, config: Any) -> bool:
    """Random ones, made in this process, which is one of several workers as far as that can be told."""
    return (keys._made_in == os.getpid() and getattr(config, "workers", None) != 1
            and (is_of_gunicorn(config) or multiprocessing.parent_process() is not None))


def is_of_gunicorn(config: Any) -> bool:
    """Then it is a worker that calls the hook."""
    return type(config).__module__ == "gunicorn.config"


def warn_of_own_keys(config: Any) -> None:
    if is_of_gunicorn(config):
        why = "was forked before its ticket keys were made"
        way_out = ("Import pysidctx.servers, or make TicketKeys(), at the top of gunicorn.conf.py and not in a "
                   "function; or write")
    else:
        why, way_out = "was not forked but spawned", "Write"
    warnings.warn(
        f"pysidctx: this worker {why}, so its ticket keys are its own, and clients of the other workers get full "
        f"handshakes from it. {way_out} a secret with `python -m pysidctx secret PATH` and name the file in the "
        f"environment variable {environment.SECRET_FILE}", RuntimeWarning, stacklevel=4)


class DefaultKeys:
    """The keys that were made at import, or those of a secret file that was named since."""

    def __init__(self) -> None:
        self._reading = ProcessLock()
        self._path, self._factory = self._made(environment.value(environment.SECRET_FILE))

    @staticmethod
    def _made(path: Optional[str]) -> tuple[Optional[str], SSLContextFactory]:
        return path, SSLContextFactory(TicketKeys() if path is None else TicketKeys.from_secret_file())

    def current(self) -> SSLContextFactory:
        path = environment.value(environment.SECRET_FILE)
        with self._reading.here():
            if path != self._path:
                self._path, self._factory = self._made(path)
            return self._factory


_default = DefaultKeys()


def ssl_context_factory(config: Any, default_factory: Build) -> ssl.SSLContext:
    """Build a server's context once per process, with keys that all its workers have.

    The hook `ssl_context` of gunicorn and `ssl_context_factory` of uvicorn; what it returns, and when, is
    documented in `SSLContextFactory`. The id context is the one that `resumable()` derives.

    The keys are `TicketKeys.from_secret_file()` of the file that the environment variable
    PYSIDCTX_SECRET_FILE names, which is read when this module is imported. Without it they are random,
    made then: workers that are forked later inherit them. Where workers are spawned instead, as those of
    uvicorn and hypercorn, and where a worker of gunicorn imports this module itself, each has keys of its
    own, and a RuntimeWarning says so. That a worker was forked by anybody else cannot be noticed: import
    this module before.

    Some worker classes of gunicorn do not call the hook: `pysidctx.servers.aiohttp_worker` and
    `pysidctx.servers.uvicorn_worker` have others for those of aiohttp and uvicorn, and a RuntimeWarning says so
    before gunicorn forks. Other classes that do not call it cannot be noticed.

    Raises what `TicketKeys.from_secret_file()`, `default_factory()` and `resumable()` raise, and ValueError
    where the environment variable is empty, also when this module is imported. Safe in any thread.
    """
    return _default.current()(config, default_factory)
