"""What is set on an SSLContext from outside, told by comparing it with how it was, and set on another one."""

import ssl
from typing import Any, NamedTuple, Optional

from pysidctx.hostmap import HostMap, _installed_map
from pysidctx.sharing import installed_on, use_keys_of
from pysidctx.sidctx import derive_session_id_context, set_session_id_context

ATTRIBUTES = ("verify_mode", "post_handshake_auth", "minimum_version", "maximum_version", "num_tickets",
              "keylog_filename", "sni_callback", "sslobject_class", "sslsocket_class")
FLAGS = ("options", "verify_flags")


class HandedOut:
    """How an SSLContext was built, to tell what was set on it since; or how it was when that was carried over."""

    def __init__(self, ctx: ssl.SSLContext) -> None:
        self._installed = Installed.on(ctx)  # first: it refuses what is no SSLContext
        self._settings = Settings.of(ctx)
        self._derived = self._installed.id_context

    def is_finished(self, ctx: ssl.SSLContext) -> None:
        """It has its id context and its keys by now."""
        self._installed = Installed.on(ctx)
        self._derived = self._installed.id_context

    def carry(self, source: ssl.SSLContext, target: ssl.SSLContext, its: "HandedOut") -> None:
        """Set on `target` what was set on `source`, and take that for known; `its` is target's own."""
        now = Settings.of(source), Installed.on(source)
        self.carry_settings(source, target)
        self.carry_installed(source, target, its)
        self._settings, self._installed = now

    def carry_settings(self, source: ssl.SSLContext, target: ssl.SSLContext) -> None:
        before, now = self._settings, Settings.of(source)
        for name, value in now.attributes.items():
            if value != before.attributes[name]:
                setattr(target, name, value)
        for name, flags in now.flags.items():
            added, removed = flags & ~before.flags[name], before.flags[name] & ~flags
            if added or removed:
                value = getattr(target, name)
                setattr(target, name, type(value)(value & ~removed | added))

    def carry_installed(self, source: ssl.SSLContext, target: ssl.SSLContext, its: "HandedOut") -> None:
        before, now, there = self._installed, Installed.on(source), Installed.on(target)
        if now.id_context != before.id_context:
            set_session_id_context(target, self._next_id_context(now.id_context, its))
        if now.keys != before.keys:
            use_keys_of(source, target)
        if now.hosts is before.hosts:
            return
        if now.hosts is not None:
            now.hosts.install(target)
        elif there.hosts is not None:
            there.hosts.uninstall(target)

    def _next_id_context(self, now: bytes, its: "HandedOut") -> bytes:
        """The one that was set; but another one where certificates or trust are not what they were."""
        if its._derived == self._derived:
            return now
        return derive_session_id_context("pysidctx renewed", now, its._derived)


class Settings(NamedTuple):
    """Those that Python shows."""

    attributes: dict[str, Any]
    flags: dict[str, int]

    @classmethod
    def of(cls, ctx: ssl.SSLContext) -> "Settings":
        return cls({name: getattr(ctx, name, None) for name in ATTRIBUTES},
                   {name: int(getattr(ctx, name)) for name in FLAGS})


class Installed(NamedTuple):
    """What pysidctx keeps on an SSLContext."""

    hosts: Optional[HostMap]
    id_context: bytes
    keys: int  # tells them from others, as long as the context lives

    @classmethod
    def on(cls, ctx: ssl.SSLContext) -> "Installed":
        id_context, keys = installed_on(ctx)
        return cls(_installed_map(ctx), id_context, keys)
