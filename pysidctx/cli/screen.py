"""Where the commands print: a console of rich, and a line that tells what is going on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.text import Text


class Screen(Console):
    """Leaves it to main() what a reader means that has gone away: no fault of the server's."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


@contextmanager
def progress(console: Console, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line that tells what is going on, where somebody looks at a terminal."""
    if quiet or not console.is_terminal:
        yield lambda doing: None
    else:
        with console.status("connecting") as status:
            yield lambda doing: status.update(Text(doing))
