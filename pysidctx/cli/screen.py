"""Where the commands print: a console of rich, and a line that shows the progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.text import Text


class Screen(Console):
    """A console that leaves a closed pipe to main(): rich would exit with 1, which means a fault of the server."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


@contextmanager
def progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Show a line with the progress if the output is a terminal."""
    if not console.is_terminal:
        yield lambda doing: None
    else:
        with console.status("connecting") as status:
            yield lambda doing: status.update(Text(doing))
