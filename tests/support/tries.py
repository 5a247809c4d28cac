"""How often something random is tried: less where each try takes several times as long, by the variable FEWER."""

import os

FEWER = int(os.environ.get("FEWER", 1))


def tries(usual: int) -> int:
    return max(usual // FEWER, 1)
