"""Handshakes of Python's ssl with each way of choosing an id context: what valgrind runs.

`python -m benchmarks.handshakes.callgrind_python FOLDER VERSION LOOPS HOSTS [HOSTS ...]`

FOLDER has the certificates. The instructions of the servers go to one dump for each side, full and resumed, under a
name that is [side, resumed] as JSON.
"""

import gc
import json
import random
import sys
from itertools import product
from pathlib import Path

from benchmarks import native
from benchmarks.handshakes.sides import ECDSA, Case, Certificates, Maps, Side, sides_of


def main(folder: Path, version: str, loops: int, sizes: tuple[int, ...]) -> None:
    counting = native.load("handshake_cython")
    maps, chance = Maps(sizes), random.Random(0)
    made = sides_of(Case(version, ECDSA, False), Certificates(folder), maps)
    sides = {name: side for name, side in made.items() if isinstance(side, Side)}
    for name, side in sides.items():
        side.shake(maps.random_name(name, chance), True)  # what is done once
    gc.disable()
    counting.count()
    for side in sides.values():
        side.clock = counting.toggle
    for (name, side), resumed in product(sides.items(), (False, True)):
        for _ in range(loops):
            side.shake(maps.random_name(name, chance), resumed)
        counting.dump(json.dumps([name, resumed]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), tuple(map(int, sys.argv[4:])))
