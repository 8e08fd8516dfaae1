"""What rights cost: a ruling, a dataset's rows checked, a model folder's licence looked for.

    python -m bench.rights [ROWS]

CPU time of the process, which other processes on a machine's shared cores inflate: the table says what the load was. A
ruling is timed alone. Lineages are random trees and graphs over all licences and terms of the package. Rows (200,000 by
default) go through `freehold.curate.answers`, which is what building a dataset asks for each of them, under eight sets
of terms, with counsel's decision and a recall of 2,000 rows in force; what else building a dataset does is not in it.
Folders are made for it, in a temporary one.
"""

from __future__ import annotations

import datetime
import json
import os
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple

import polars as pl

from freehold.config import Settings, UpstreamSettings
from freehold.curate.answers import answer_rights
from freehold.domain.counsel import Decision
from freehold.domain.recalls import Recall
from freehold.domain.rights import ACTIONS, Asset, Organisation, Parent, Role
from freehold.rights import clauses, detect, licences, rule
from freehold.store import Store
from freehold.store.counsel import put_signed
from freehold.store.recalls import write_rows

ROWS = 200_000
RULINGS = 3_000
WIDE = 1_000
TODAY = datetime.date(2026, 11, 22)
ORGANISATION = Organisation(monthly_users=1_000, company_in="CH", users_in=("CH",), distributes_weights=False)
ROLES: tuple[Role, ...] = ("base", "teacher", "rows")
TERMS = ("own", "openai-api", "anthropic-commercial", "mistral", "together", "google-gemini-api", "xai", "unknown")
TEXTS = Path(clauses.__file__).parent / "texts"


class Line(NamedTuple):
    """A line of the table: CPU milliseconds."""

    what: str
    runs: int
    median: float
    p99: float


def timed(what: str, calls: list[Callable[[], object]]) -> Line:
    """Each call's CPU time; the first is made twice, so that nothing is loaded while it is timed."""
    calls[0]()
    spent: list[float] = []
    for call in calls:
        began = time.process_time_ns()
        call()
        spent.append((time.process_time_ns() - began) / 1e6)
    spent.sort()
    return Line(what, len(calls), statistics.median(spent), spent[min(len(spent) - 1, int(len(spent) * 0.99))])


def random_lineage(rng: Random) -> Asset:
    """Up to a dozen models, each made of some before it."""
    names = [*licences(), "own", "nobody-knows"]
    made: list[Asset] = []
    for number in range(rng.randint(1, 12)):
        above = [Parent(rng.choice(ROLES), rng.choice(made)) for _ in range(rng.randint(0, 3))] if made else []
        kind = rng.choice(("classifier", "generative"))
        made.append(Asset(asset_id=f"m{number}", licence=rng.choice(names), kind=kind, parents=tuple(above)))
    return made[-1]


def wide_lineage(licence_of: Callable[[int], str]) -> Asset:
    """One that was trained on the answers of a thousand models."""
    parents = tuple(Parent("teacher", Asset(asset_id=f"t{at}", licence=licence_of(at))) for at in range(WIDE))
    return Asset(asset_id="wide", licence="own", parents=parents)


def rulings() -> Iterator[Line]:
    rng = Random(7)

    def ruling(asset: Asset) -> Callable[[], object]:
        action = rng.choice(ACTIONS)
        return lambda: rule(action, asset, ORGANISATION, TODAY)

    yield timed("ruling, random lineage of up to 12 models", [ruling(random_lineage(rng)) for _ in range(RULINGS)])
    names = list(licences())
    few = wide_lineage(lambda at: TERMS[at % len(TERMS)])
    yield timed(f"ruling, {WIDE:,} teachers under {len(TERMS)} sets of terms", [ruling(few)] * 300)
    every = wide_lineage(lambda at: names[at % len(names)])
    yield timed(f"ruling, {WIDE:,} teachers under all {len(names)}", [ruling(every)] * 300)
    shared = Asset(asset_id="0", licence="llama-3.1")
    for number in range(1, 41):
        shared = Asset(asset_id=str(number), licence="own", parents=(Parent("base", shared), Parent("teacher", shared)))
    yield timed("ruling, 40 models deep, two ways at each", [ruling(shared)] * 300)


def dataset(rows: int, folder: Path) -> Line:
    """Ask for each row what building a dataset asks; says on standard error what came of it."""
    upstreams = {
        f"up{at}": UpstreamSettings(base_url="http://127.0.0.1:1", terms=name) for at, name in enumerate(TERMS)
    }
    settings = Settings(upstreams=upstreams, organisation=ORGANISATION, data_dir=str(folder))
    frame = pl.DataFrame(
        {
            "trace_id": [f"tr_{at:024x}" for at in range(rows)],
            "at_ns": range(rows),
            "answered_by": [f"up{at % len(TERMS)}/model" for at in range(rows)],
            "terms": [f"{TERMS[at % len(TERMS)]}@2025-12-01" if at % 3 else "unknown" for at in range(rows)],
            "key": "",
            "subject": None,
        }
    )
    with closing(Store.open(settings.data, settings.control_url)) as store:
        decision = Decision(
            decision_id="de_1",
            terms="anthropic-commercial",
            purpose="train_classifier",
            allow=True,
            decided_by="bench",
            until="2030-01-01",
            created_ns=1,
        )
        put_signed(store, decision)
        digest = write_rows(store, frame["trace_id"].head(2_000).to_list())
        store.control.recalls.put(
            Recall(recall_id="re_1", kind="key", value="k", created_ns=1, state="done", rows_sha256=digest)
        )
        permitted = 0

        def check() -> None:
            nonlocal permitted
            rights = answer_rights(store, settings, "", TODAY)
            permitted = 0
            for row in frame.iter_rows(named=True):
                if not rights.why_not(row):
                    rights.verdict(row)
                    permitted += 1

        line = timed(f"{rows:,} rows checked", [check] * 5)
    print(f"{permitted:,} of {rows:,} rows may be learned from", file=sys.stderr)
    return line


def folders(root: Path) -> Iterator[Line]:
    mit, apache = ((TEXTS / f"{name}.txt").read_text() for name in ("mit", "apache-2.0"))
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, **{f"w{at}": {"dtype": "F16"} for at in range(300)}}
    ).encode()
    weights = struct.pack("<Q", len(header)) + header
    card = "---\nlicense: mit\n---\n# A model\n"
    made: dict[str, dict[str, str | bytes]] = {
        "folder with a known text and a card": {"LICENSE": mit, "README.md": card, "config.json": "{}"},
        "the same, 64 files of weights": {
            "LICENSE": mit,
            "README.md": card,
            **{f"model-{at:05}.safetensors": weights for at in range(64)},
        },
        "folder with a changed Apache-2.0": {"LICENSE": apache.replace("irrevocable", "revocable") + "\nNo weapons.\n"},
        "folder with 10,000 other files": {"LICENSE": mit, **{f"part{at % 10}/f{at}": "" for at in range(10_000)}},
        "folder with a text of 2 MB": {"LICENSE": (mit + "the software is furnished " * 80_000)[:1_999_000]},
    }
    for number, (what, contents) in enumerate(made.items()):
        folder = root / str(number)
        for name, text in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        yield timed(what, [lambda folder=folder: detect(folder)] * 20)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    began = time.process_time()
    known = len(licences())
    loaded = 1000 * (time.process_time() - began)
    with tempfile.TemporaryDirectory() as name:
        lines = [*rulings(), dataset(rows, Path(name) / "data"), *folders(Path(name) / "folders")]
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {known} entries loaded in {loaded:.0f} ms\n")
    print("| what | runs | median, ms CPU | p99, ms CPU |\n|---|---|---|---|")
    for line in lines:
        print(f"| {line.what} | {line.runs:,} | {line.median:,.3g} | {line.p99:,.3g} |")


if __name__ == "__main__":
    main()
