"""Find the settings that were changed on an SSLContext after it was built, and copy them to another one."""

import _ssl
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Optional

from pysidctx.hosts.hostmap import HostMap, _installed_map
from pysidctx.id_contexts.derivation import derive_session_id_context
from pysidctx.id_contexts.setters import set_session_id_context
from pysidctx.servers.watched_files import CONTEXT
from pysidctx.sharing import InstalledCache, cache_on, connecting, installed_on, use_installed_cache, use_keys_of

FLAGS = ("options", "verify_flags")
ATTRIBUTES = ("verify_mode", "post_handshake_auth", "minimum_version", "maximum_version", "num_tickets",
              "keylog_filename", "sni_callback", "sslobject_class", "sslsocket_class")


class HandedOut:
    """The settings of an SSLContext when it was built or last copied, to find those that were changed since."""

    def __init__(self, ctx: ssl.SSLContext) -> None:
        wrapped = connecting(ctx)  # first, because it raises TypeError for anything but an SSLContext
        self._wrapped = None if wrapped is ctx else wrapped
        self._installed = Installed.on(wrapped)
        self._derived = self._installed.id_context
        self._getters = [getter(type(ctx), name) for name in (*FLAGS, *ATTRIBUTES)]
        self._settings = self._settings_of(ctx)

    def is_finished(self, ctx: ssl.SSLContext) -> None:
        """Record the id context, the keys and the cache, which were set after the settings."""
        self._installed = Installed.on(self._connecting(ctx))
        self._derived = self._installed.id_context

    def installed_map(self, ctx: ssl.SSLContext) -> Optional[HostMap]:
        """Return the HostMap that is installed on the context at present."""
        return _installed_map(self._connecting(ctx))

    def _connecting(self, ctx: ssl.SSLContext) -> ssl.SSLContext:
        """Return the context that creates connections. It was determined once, by several trial connections."""
        return ctx if self._wrapped is None else self._wrapped

    def _settings_of(self, ctx: ssl.SSLContext) -> list[Any]:
        return [get(ctx) for get in self._getters]

    def has_changed(self, ctx: ssl.SSLContext) -> bool:
        return (self._settings_of(ctx) != self._settings
                or not Installed.on(self._connecting(ctx)).is_same(self._installed))

    def carry(self, source: ssl.SSLContext, target: ssl.SSLContext, its: "HandedOut") -> None:
        """Copy changed settings from `source` to `target` and record them. `its` is the HandedOut of `target`."""
        settings, installed = self._settings_of(source), Installed.on(self._connecting(source))
        self.carry_settings(source, target)
        self.carry_installed(source, target, its)
        self._settings, self._installed = settings, installed

    def carry_settings(self, source: ssl.SSLContext, target: ssl.SSLContext) -> None:
        changes = zip((*FLAGS, *ATTRIBUTES), self._settings, self._settings_of(source))
        for name, before, now in changes:
            if now == before:
                continue
            if name in FLAGS:
                there = getattr(target, name)
                now = type(there)(there & ~(before & ~now) | (now & ~before))
            setattr(target, name, now)

    def carry_installed(self, source: ssl.SSLContext, target: ssl.SSLContext, its: "HandedOut") -> None:
        source, target = self._connecting(source), its._connecting(target)
        before, now, there = self._installed, Installed.on(source), Installed.on(target)
        if now.id_context != before.id_context:
            set_session_id_context(target, self._next_id_context(now.id_context, its))
        if now.keys != before.keys:
            use_keys_of(source, target)
        if now.cache != before.cache:
            use_installed_cache(target, now.cache)
        if now.hosts is before.hosts:
            return
        if now.hosts is not None:
            now.hosts.install(target)
        elif there.hosts is not None:
            there.hosts.uninstall(target)

    def _next_id_context(self, now: bytes, its: "HandedOut") -> bytes:
        """Return the id context that was set; if certificates or trust have changed, one that derives from it."""
        if its._derived == self._derived:
            return now
        return derive_session_id_context("pysidctx renewed", now, its._derived)


def getter(kind: type, name: str) -> Callable[[ssl.SSLContext], Any]:
    """Return a function that reads an attribute. It runs for each connection, so it avoids Python's slow enums."""
    inner = getattr(_ssl._SSLContext, name, None)
    if inner is not None and getattr(kind, name) is getattr(CONTEXT, name):
        get: Callable[[ssl.SSLContext], Any] = inner.__get__
        return get
    return partial(attribute, name)


def attribute(name: str, ctx: ssl.SSLContext) -> Any:
    return getattr(ctx, name, None)


class Installed(NamedTuple):
    """What pysidctx has installed on an SSLContext."""

    hosts: Optional[HostMap]
    id_context: bytes
    keys: int  # identifies the ticket keys as long as the context lives
    cache: Optional[InstalledCache]

    @classmethod
    def on(cls, ctx: ssl.SSLContext) -> "Installed":
        id_context, keys = installed_on(ctx)
        return cls(_installed_map(ctx), id_context, keys, cache_on(ctx))

    def is_same(self, other: "Installed") -> bool:
        return self.hosts is other.hosts and self[1:] == other[1:]
