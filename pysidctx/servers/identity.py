"""Compare functions by what they do: servers create a new function from the same code for each connection."""

from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any


class Same:
    """Wraps an object, and compares equal to another wrapper of the identical object."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.held is self.held

    __hash__ = None  # type: ignore[assignment]


PLAIN = (str, bytes, int, float, type(None))  # types that are compared by value


def identity(found: object, outer: tuple[object, ...] = ()) -> tuple[Any, ...]:
    """Return a tuple that is equal for two functions with the same code, defaults and closure.

    `outer` are the functions that contain this one. It may refer back to them, so they are not followed again.
    """
    if isinstance(found, PLAIN):
        return type(found), found
    if any(found is function for function in outer):
        return ()
    outer = (*outer, found)
    if isinstance(found, partial):
        inside: tuple[object, ...] = (found.func, *found.args, *found.keywords, *found.keywords.values())
    elif isinstance(found, MethodType):
        inside = found.__self__, found.__func__
    elif isinstance(found, FunctionType):
        inside = (*(found.__defaults__ or ()), *(found.__kwdefaults__ or {}).values(),
                  *map(contents, found.__closure__ or ()))
    else:
        return Same(found),
    return (getattr(found, "__code__", None), *(identity(part, outer) for part in inside))


def contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # the cell is still empty
        return None
