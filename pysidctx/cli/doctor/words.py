"""Parts what a message of pysidctx says: what is wrong, and what to do."""

import re

# The verbs with which the messages begin to say what to do.
ADVICE = re.compile(r"(?::|\.|;) (?=(?:or )?(?:choose|create|deny|import|make|move|pass|remove|rename|set|write)\b)",
                    re.IGNORECASE)


def parted(message: str) -> tuple[str, str]:
    """Return what is wrong, and what to do; the second is empty if the message does not say it in so many words."""
    message = message[len("pysidctx: "):] if message.startswith("pysidctx: ") else message
    seen, *rest = ADVICE.split(message, maxsplit=1)
    return seen, rest[0] if rest else ""
