"""Kill gateway workers, sealers and curate jobs at random while callers never stop, and count what was lost or doubled.

    python bench/record/kills.py [KILLS] [SEED ...]

200 kills of each of three seeds by default, a minute or two each on a quiet machine of two cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS / "shared"), str(TESTS / "faults")]


def main() -> None:
    drill = import_module("random_kills").drill
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seeds = [int(seed) for seed in sys.argv[2:]] or [1, 2, 3]
    print(f"`python bench/record/kills.py {kills} {' '.join(map(str, seeds))}`\n")
    print("| seed | kills | acknowledged | lost | doubled | answers cut | datasets, all whole | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for seed in seeds:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="freehold-kills-") as folder:
            found = drill(Path(folder), kills, seed)
        killed = ", ".join(f"{count} {kind}s" for kind, count in sorted(found.kills.items()))
        print(
            f"| {seed} | {killed} | {found.acknowledged} | {found.lost} | {found.doubled} | {found.cut} | "
            f"{found.datasets} | {time.monotonic() - began:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
