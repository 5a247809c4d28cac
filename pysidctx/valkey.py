"""Channel: a stream on Valkey or Redis that carries sessions between machines. It takes the extra `valkey`."""

import time
from collections.abc import Iterator
from typing import Any, Optional

FIELD = b"batch"
WAIT = 0.5          # seconds for which receive() waits for a batch
READ = 100          # batches at once


class Channel:
    """A stream on a Valkey or Redis server, for `SessionCache.replicate()`.

    url
        A str, as valkey-py takes it: "valkey://host:6379/0", "valkeys://user:password@host:6380/0" for TLS, or
        "unix:///path". Query parameters are passed to valkey-py, such as "?ssl_ca_certs=/path".
    stream
        A str: the key of the stream. Fleets that share a server take different ones.
    keep
        An int, in seconds: how long the server keeps what was sent, for machines that start later.
    timeout
        A float, in seconds: how long a command may take before the channel counts as down.

    Everything in the stream is sealed with the cache's secret: whoever reads it learns how many sessions there are, and
    whoever writes to it without the secret can add nothing.

    Raises ImportError if the package valkey is missing, and ValueError if the URL is malformed. No connection is made
    before it is used. Safe in any thread. The server must be Redis 6.2 or later, or Valkey.
    """

    def __init__(self, url: str, *, stream: str = "pysidctx", keep: int = 3600, timeout: float = 1.0) -> None:
        try:
            from valkey import Valkey
        except ImportError as error:
            raise ImportError("pysidctx.valkey needs the package valkey: python -m pip install 'pysidctx[valkey]'"
                              ) from error
        if keep < 1:
            raise ValueError(f"keep must be at least 1 second, not {keep}")
        if not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {timeout}")
        self._stream = stream
        self._keep = keep
        # Two clients, because the one that waits for batches keeps its connection busy.
        self._publishing: Any = Valkey.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
        self._receiving: Any = Valkey.from_url(url, socket_timeout=timeout + WAIT, socket_connect_timeout=timeout)

    def publish(self, batch: bytes) -> None:
        """Add `batch` to the stream. Raises whatever valkey-py raises."""
        oldest = int((time.time() - self._keep) * 1000)
        self._publishing.xadd(self._stream, {FIELD: batch}, minid=oldest, approximate=True)

    def receive(self, since: Optional[str]) -> Iterator[tuple[str, bytes]]:
        """Yield batches with their positions; b"" when there was none for half a second. Raises as publish() does."""
        position = since or "0"
        while True:
            found = self._receiving.xread({self._stream: position}, count=READ, block=int(WAIT * 1000))
            messages = found[0][1] if found else ()
            for name, fields in messages:
                position = name.decode()
                yield position, fields.get(FIELD, b"?")
            if not messages:
                yield position, b""

    def close(self) -> None:
        """Close its connections, after `Replication.stop()`. Using it again opens new ones. Safe in any thread."""
        self._publishing.close()
        self._receiving.close()

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Without the URL, which may contain a password."""
        return f"<Channel on the stream {self._stream!r}>"
