"""Handshakes with client certificates, without Python on either side: what valgrind runs.

`python -m benchmarks.cache.counted FOLDER VERSION ROUNDS LOOPS` runs with the certificates in FOLDER.

The instructions of the servers go to one dump for each measure and round, under a name that is
[round, side, kind] as JSON.
"""

import gc
import json
import sys
from pathlib import Path

from benchmarks import native
from benchmarks.cache.sides import MEASURES, Sides


def main(folder: Path, version: str, rounds: int, loops: int) -> None:
    counting = native.load("handshake_cython")
    sides = Sides(folder, version, rounds * loops)
    gc.disable()
    counting.count()
    for turn in range(rounds):
        for measure in MEASURES:
            for _ in range(loops):
                sides.shake(measure, collect=True)
            counting.dump(json.dumps([turn, *measure]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
