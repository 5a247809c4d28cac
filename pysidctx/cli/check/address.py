"""The address of a server, as an argument. This module imports no optional package."""

import ipaddress
import re

NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)


def split(text: str) -> tuple[str, int]:
    """Split HOST, HOST:PORT, an IPv6 address, or [IPv6]:PORT into host and port. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, port = text, "443"
    elif not colon or (":" in host and not host.endswith("]")):
        host, port = text, "443"
    if "/" in text:
        raise ValueError(f"{text!r} is a URL: pass only HOST or HOST:PORT")
    if not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        raise ValueError(f"{port[:20]!r} is not a port number: pass HOST:PORT")
    if not host:
        raise ValueError(f"{text!r} names no host: pass HOST:PORT, such as localhost:{port}")
    if host.isdigit():
        raise ValueError(f"is {host[:20]} a port? Pass HOST:PORT, such as localhost:{host[:20]}")
    return host.strip("[]"), int(port)


def host_name(text: str) -> str:
    """Return a host name in lower case, without a dot at the end. Raises ValueError."""
    name = text.lower().rstrip(".")
    if not NAME.fullmatch(name):
        raise ValueError(f"{text!r} is not a host name: write an international name as A-labels (xn--...)")
    return name


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def refuse_invalid(text: str) -> None:
    """Raise ValueError unless the text is HOST, HOST:PORT, an IPv6 address, or [IPv6]:PORT."""
    host, _ = split(text)
    if not is_address(host):
        host_name(host)
