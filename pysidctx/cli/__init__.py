"""The commands of `python -m pysidctx`."""

EXTRA = "install the extra `cli` (python -m pip install '.[cli]' in the checkout)"


def in_words(value: object, nothing: str) -> str:
    """How the commands print a value; `nothing`: for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return nothing if value is None else str(value)
