"""A proxy that lets all bytes wait, as a distant server's do: `python -m benchmarks.clients.proxy PORT TARGET SECONDS`.

SECONDS is the round trip. Each way takes half of it, and the first bytes of a client a whole one more, since the
client's TCP connects to the proxy at once.
"""

import asyncio
import sys
from contextlib import suppress


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, before: float) -> None:
    """Write what is read `delay` seconds later, and not before the loop's time `before`."""
    loop = asyncio.get_running_loop()
    data = b"."
    with suppress(OSError):
        while data:
            data = await reader.read(1 << 16)
            before = max(before, loop.time() + delay)
            loop.call_at(before, deliver, writer, data)


def deliver(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not data:
        writer.close()
    elif not writer.is_closing():
        writer.write(data)


async def main(port: int, target: int, round_trip: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected = asyncio.get_running_loop().time() + round_trip * 1.5
        from_server, to_server = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pass_on(reader, to_server, round_trip / 2, connected),
                             pass_on(from_server, writer, round_trip / 2, 0))

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
