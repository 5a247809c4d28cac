"""Where the headers for C and Cython code are."""

from pathlib import Path


def get_include() -> str:
    """Return the folder that holds `pysidctx.h`, for a C compiler's include path.

    Code that is compiled with it also needs OpenSSL's own headers. Safe in any thread.
    """
    package = Path(__file__).resolve().parent
    installed = package / "include"
    # An editable installation leaves the headers where the source has them.
    return str(installed if installed.is_dir() else package.parent / "include")
