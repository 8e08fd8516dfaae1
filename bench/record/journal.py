"""What appending one record to the journal costs, beside SQLite and a bare write to a file, all in one run.

Run: `python bench/record/journal.py [--records 3000] [--rounds 3] [--folder FOLDER]` (two minutes). Each way keeps the
same traces of 4 KB, by itself, in turn, round after round; the table has medians over the rounds. CPU is that of
the whole process, the background sync included, over records appended without a pause. Latency is that of one append,
at 500 records a second, so that syncs happen in between. Strict ways sync before the append returns. Bytes are on disk,
per record. The first row writes bytes that are made beforehand and never syncs: no journal can be cheaper. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import msgspec

from freehold.domain.ids import new_id
from freehold.domain.traces import Trace
from freehold.store import JournalWriter
from freehold.store.journal import format as journal_format
from freehold.store.journal.keys import JournalKeys, new_key
from freehold.store.journal.options import JournalOptions

RECORD_BYTES = 4096
PACE = 500
"""Records a second while latencies are measured."""
WORDS = [
    *(
        "order",
        "refund",
        "card",
        "account",
        "payment",
        "transfer",
        "delivery",
        "invoice",
        "customer",
        "please",
        "thanks",
    ),
    *("address", "the", "a", "of", "to", "for", "and", "when", "where", "which", "my", "your", "our", "was", "has"),
    *("been", "is", "not", "yet", "still", "again", "number", "date", "amount", "received", "charged", "pending"),
]

Append = Callable[[Trace], None]
Opened = Callable[[Path], AbstractContextManager[Append]]


class Way(NamedTuple):
    """One way to keep records."""

    name: str
    opened: Opened
    """Gives what appends."""
    strict: bool = False


class Figures(NamedTuple):
    """Of one way in one round."""

    cpu_us: float
    latencies_us: list[float]
    bytes: float


def traces(count: int) -> list[Trace]:
    """Traces whose packed record is about 4 KB: four fifths of it the request, as with a long prompt."""
    rng, made = random.Random(4), list[Trace]()
    for number in range(count):
        text = " ".join(rng.choices(WORDS, k=RECORD_BYTES // 6))
        request = f'{{"model":"m","messages":[{{"role":"user","content":"{number} {text[:2900]}"}}]}}'
        response = f'{{"choices":[{{"message":{{"content":"{text[-700:]}"}}}}],"usage":{{"prompt_tokens":700}}}}'
        made.append(
            Trace(
                trace_id=new_id("tr"), at_ns=time.time_ns(), task="task_4f1d2c3b4a59687f", model="m", status=200,
                answered_by="main/m", request=request.encode(), response=response.encode(), duration_us=812_345,
            )
        )  # fmt: skip
    return made


@contextmanager
def bare_write(folder: Path) -> Generator[Append]:
    """The limit: bytes to a file."""
    packed = msgspec.msgpack.encode(traces(1)[0])
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(trace: Trace) -> None:
        os.write(fd, packed)

    try:
        yield append
    finally:
        os.close(fd)


def journal(**options: object) -> Opened:
    """The journal, with these options."""

    @contextmanager
    def opened(folder: Path) -> Generator[Append]:
        writer = JournalWriter(folder / "wk_bench", JournalOptions(**options))  # type: ignore[arg-type]
        try:
            yield writer.append
        finally:
            writer.close()

    return opened


def compressed(level: int) -> Opened:
    """The journal, if it compressed every record with zstd at this level: why it does not (docs/adr/0011)."""

    @contextmanager
    def opened(folder: Path) -> Generator[Append]:
        with (
            patch.object(journal_format, "COMPRESSED_FROM", 0),
            patch.object(journal_format, "LEVEL", level),
            journal()(folder) as append,
        ):
            yield append

    return opened


def sqlite(synchronous: str) -> Opened:
    """SQLite with a write-ahead log, one transaction per record."""

    @contextmanager
    def opened(folder: Path) -> Generator[Append]:
        database = sqlite3.connect(folder / "records.sqlite", isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={synchronous}")
        database.execute("CREATE TABLE records (id TEXT PRIMARY KEY, at_ns INTEGER, record BLOB)")
        encode = msgspec.msgpack.Encoder().encode

        def append(trace: Trace) -> None:
            database.execute("INSERT INTO records VALUES (?, ?, ?)", (trace.trace_id, trace.at_ns, encode(trace)))

        try:
            yield append
        finally:
            database.close()

    return opened


KEYS = JournalKeys.parse(new_key(), "the bench")
WAYS = (
    Way("bare write of ready bytes, never synced (the limit)", bare_write),
    Way("journal", journal()),
    Way("journal, encrypted", journal(keys=KEYS)),
    Way("journal, if all were compressed with zstd -1", compressed(-1)),
    Way("journal, if all were compressed with zstd 3", compressed(3)),
    Way("SQLite, WAL, NORMAL", sqlite("NORMAL")),
    Way("journal, strict", journal(strict=True), strict=True),
    Way("journal, strict, encrypted", journal(strict=True, keys=KEYS), strict=True),
    Way("SQLite, WAL, FULL", sqlite("FULL"), strict=True),
)


def measure(way: Way, folder: Path, records: Sequence[Trace]) -> Figures:
    """One round of one way; strict ones with a tenth of the records."""
    folder.mkdir()
    given = records[: len(records) // 10] if way.strict else records
    with way.opened(folder) as append:
        append(given[0])
        began = time.process_time()
        for record in given[1:]:
            append(record)
        cpu = (time.process_time() - began) / (len(given) - 1)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / len(given)
    shutil.rmtree(folder)
    folder.mkdir()
    with way.opened(folder) as append:
        latencies = paced(append, records[: PACE * 2])
    shutil.rmtree(folder)
    return Figures(cpu * 1e6, latencies, size)


def paced(append: Append, records: Sequence[Trace]) -> list[float]:
    """How long each append took, in µs."""
    tick, due, taken = threading.Event(), time.perf_counter(), list[float]()
    for record in records:
        due += 1 / PACE
        tick.wait(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        append(record)
        taken.append((time.perf_counter() - began) * 1e6)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; by default a temporary folder")
    chosen = parser.parse_args()
    records = traces(max(chosen.records, PACE * 2))
    found: dict[str, list[Figures]] = {way.name: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="freehold-journal-", dir=chosen.folder) as folder:
        for number in range(chosen.rounds):
            for way in WAYS:
                found[way.name].append(measure(way, Path(folder) / f"{number}", records))
    packed = statistics.mean(len(msgspec.msgpack.encode(record)) for record in records[:100])
    print(f"`python bench/record/journal.py --records {chosen.records} --rounds {chosen.rounds}`\n")
    print(f"Records of {packed:,.0f} bytes; {chosen.rounds} rounds.\n")
    print("| way | CPU µs per record | latency p50 µs | p99 µs | bytes per record |\n|---|---|---|---|---|")
    for name, rounds in found.items():
        cuts = [statistics.quantiles(figures.latencies_us, n=100) for figures in rounds]
        cpu, size = (statistics.median(getattr(figures, field) for figures in rounds) for field in ("cpu_us", "bytes"))
        middle, late = (statistics.median(cut[at] for cut in cuts) for at in (49, 98))
        print(f"| {name} | {cpu:.1f} | {middle:,.0f} | {late:,.0f} | {size:,.0f} |")


if __name__ == "__main__":
    main()
