"""Handshakes with client certificates, without Python on either side: what valgrind runs.

`python -m benchmarks.cache.counted FOLDER ROUNDS LOOPS` runs with the certificates in FOLDER.

The instructions of the servers go to one dump for each version, round and measure, under a name that is
[version, round, side, kind] as JSON.
"""

import gc
import json
import sys
from itertools import product
from pathlib import Path

from benchmarks import native
from benchmarks.cache.sides import MEASURES, Sides
from benchmarks.handshakes.server_time import VERSIONS


def main(folder: Path, rounds: int, loops: int) -> None:
    counting = native.load("handshake_cython")
    made = {version: Sides(folder, version, rounds * loops) for version in VERSIONS}
    gc.disable()
    counting.count()
    for version, turn in product(made, range(rounds)):
        for measure in MEASURES:
            for _ in range(loops):
                made[version].shake(measure, collect=True)
            counting.dump(json.dumps([version, turn, *measure]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
