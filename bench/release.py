"""Releases: how large they are, how long building and each level of verifying takes, and whether every byte counts.

A support desk's traffic (the demo's urgency task) is recorded, moved to a student by the loop, and released with its
rows. Each level's seconds are those of the verifying process; `total` is the command's, from start to report. With
`--every-byte` one bit is flipped at every offset of every file under 64 KiB, and at 2,000 offsets drawn at random of
each larger one; for each flip the whole of level 0 is done for manifest and signature, and for other files what level 0
does with that file.

    python bench/release.py --rows 900 9000 --json
    python bench/release.py --rows 900 --every-byte
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.shared.loop_fixtures import Desk, urgency

from freehold.cli.release_verify import verify_apart
from freehold.config import configure_logs
from freehold.domain.errors import ReleaseError
from freehold.release.build import build_release
from freehold.release.inventory import MANIFEST, SIGNATURE
from freehold.release.parts import Wanted
from freehold.release.verify.seal import Sealed, check_files, open_sealed
from freehold.release.verify.tree import Tree

SMALL = 64 << 10
SAMPLED = 2000
LEVELS = range(5)


def measure(folder: Path, rows: int, every_byte: bool) -> dict[str, Any]:
    """Build and verify one release."""
    desk = Desk(folder / "data", epsilon=0.1, delta=0.1, min_samples=600, growth=1.2)
    desk.send(urgency(1, rows))
    desk.loop.until_idle()
    if desk.rung is None:
        raise SystemExit(f"{rows} rows certified no student: give more.")
    out = folder / "release"
    wanted = Wanted(student=desk.rung.student, out=out, name="bench", with_data=True, reviewed_by="the bench")
    began = time.perf_counter()
    built = build_release(desk.store, desk.settings, wanted, time.time_ns())
    build_seconds = time.perf_counter() - began
    key = desk.store.keys.public_key()
    desk.close()
    report = verify_apart(out, key, 4, None)
    totals = {level: timed(out, key, level) for level in (0, 4)}
    found = {
        "rows": rows,
        "bytes": built.bytes,
        "largest": sizes(out),
        "build_seconds": round(build_seconds, 3),
        "level_seconds": {level.level: round(level.seconds, 3) for level in report.levels},
        "total_seconds": {level: round(seconds, 3) for level, seconds in totals.items()},
        "reached": report.reached,
        "why_not_more": report.why_not_more,
    }
    return found | ({"flips": flips(out, key)} if every_byte else {})


def timed(out: Path, key: str, level: int) -> float:
    """Seconds of a whole verification."""
    began = time.perf_counter()
    verify_apart(out, key, level, None)
    return time.perf_counter() - began


def sizes(out: Path) -> dict[str, int]:
    """Path → bytes of the largest files."""
    found = {path.relative_to(out).as_posix(): path.stat().st_size for path in out.rglob("*") if path.is_file()}
    return dict(sorted(found.items(), key=lambda pair: -pair[1])[:6])


def flips(out: Path, key: str) -> dict[str, Any]:
    """Flip one bit at a time; how many flips, and which were not found."""
    draw, missed, tried = random.Random(1), [], 0
    began = time.perf_counter()
    with Tree(out) as tree:
        sealed = open_sealed(tree, key)
        for path in sorted([*sealed.files, MANIFEST, SIGNATURE]):
            size = (out / path).stat().st_size
            places = range(size) if size < SMALL else sorted(draw.sample(range(size), SAMPLED))
            for place in places:
                flip(out / path, place, 1 << place % 8)
                if not is_found(sealed, path, key):
                    missed.append((path, place))
                flip(out / path, place, 1 << place % 8)
                tried += 1
        check_files(sealed)
    return {"tried": tried, "missed": missed, "seconds": round(time.perf_counter() - began, 1)}


def flip(path: Path, place: int, mask: int) -> None:
    """Flip bits of one byte in place."""
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, place)[0]
        os.pwrite(file.fileno(), bytes([byte ^ mask]), place)


def is_found(sealed: Sealed, path: str, key: str) -> bool:
    """Whether level 0 finds what was changed."""
    try:
        if path in (MANIFEST, SIGNATURE):
            check_files(open_sealed(sealed.tree, key))
        else:
            sealed.check(path)
    except ReleaseError:
        return True
    return False


def main() -> None:
    """Measure releases of several sizes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[900])
    parser.add_argument("--every-byte", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    configure_logs("warning")
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder), rows, options.every_byte)
        print(json.dumps(found) if options.json else "\n".join(f"{name}: {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
