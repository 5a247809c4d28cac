"""What type stubs, and annotations, share."""

import sys
from os import PathLike
from typing import TYPE_CHECKING, Union

Path = Union[str, bytes, "PathLike[str]", "PathLike[bytes]"]

if TYPE_CHECKING:
    if sys.version_info >= (3, 12):
        from collections.abc import Buffer as Buffer
    else:
        from typing_extensions import Buffer as Buffer
