"""Checks of the arguments that several of pysidctx's classes take."""

MIN_SECRET = 32    # bytes
MAX_SECRET = 1024
PERIOD = 3600                 # seconds; the default
LIFETIME = 24 * 3600          # seconds; the default
MAX_LIFETIME = 7 * 24 * 3600  # seconds; RFC 8446, section 4.6.1
MAX_PERIODS = 1000            # in a lifetime: for each there is a key


def checked_int(name: str, value: object, least: int, most: int, unit: str) -> int:
    """Return `value`, an int. Raises TypeError, ValueError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, in {unit}, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least} to {most} {unit}, not {value}")
    return value


def checked_times(period: object, lifetime: object) -> tuple[int, int]:
    """Return both, in seconds. Raises TypeError, ValueError."""
    longest = checked_int("lifetime", lifetime, 1, MAX_LIFETIME, "seconds")
    each = checked_int("period", period, 1, MAX_LIFETIME, "seconds")
    if longest > MAX_PERIODS * each:
        raise ValueError(f"a lifetime of {lifetime} seconds is more than {MAX_PERIODS} periods of {period} "
                         f"seconds: choose a period of at least {-(-longest // MAX_PERIODS)} seconds")
    return each, longest


def check_secret(length: int, what: str) -> None:
    """Raises ValueError."""
    if not MIN_SECRET <= length <= MAX_SECRET:
        raise ValueError(f"{what} is {length} bytes long, but a secret has {MIN_SECRET} to {MAX_SECRET} bytes: "
                         "write a new one with `python -m pysidctx secret PATH`")
