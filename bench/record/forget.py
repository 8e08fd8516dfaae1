"""What it costs to forget one subject out of many, and to enforce retention.

    python bench/record/forget.py [TRACES]

Traces of 4 KB over 1,000 subjects in a data folder of its own, sealed as the loop seals them; then one subject is
forgotten in a process that did not write them (about a thousandth of the rows, spread over all files), and everything
older than the middle is removed. Seconds of wall clock and of CPU, and the peak of memory.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from freehold.config import RetentionSettings
from freehold.domain.ids import new_id
from freehold.domain.traces import Trace
from freehold.record.forgetting.forget import forget
from freehold.record.retention import DAY_NS, enforce
from freehold.record.sealer import Sealer
from freehold.store import Store

SUBJECTS = 1000
WORDS = [
    "the", "order", "has", "not", "come", "and", "nobody", "answers", "when", "will", "you",
    "send", "what", "was", "paid", "for", "last", "week",
]  # fmt: skip


def store_at(folder: Path) -> Store:
    return Store.open(folder, f"sqlite:///{folder / 'control.sqlite'}")


def fill(folder: Path, traces: int) -> None:
    store, chance, began = store_at(folder), random.Random(1), time.time_ns()
    sealer, writer = Sealer(store, {}), store.open_journal()
    for number in range(traces):
        text = " ".join(chance.choices(WORDS, k=700))
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        at = began - DAY_NS * 60 * (traces - number) // traces
        writer.append(
            Trace(trace_id=new_id("tr"), at_ns=at, task="task_a", model="m", answered_by="up/m", status=200,
                  request=body, response=b"{}", subject=f"subject-{chance.randrange(SUBJECTS)}")
        )  # fmt: skip
        if number % 5000 == 4999:
            sealer.seal_once()
    writer.close()
    sealer.seal_once()
    store.close()


def measure(folder: Path, what: str) -> None:
    store, began, cpu = store_at(folder), time.perf_counter(), time.process_time()
    if what == "forget":
        removed = forget(store, {}, "subject", "subject-7").removed["traces"]
    else:
        kept = enforce(store, RetentionSettings(traces_days=30.0), time.time_ns(), at_once=True)
        removed = kept.removed["traces"] if kept is not None else 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    print(f"| {what} | {removed} | {wall:.1f} | {used:.1f} | {peak:.0f} |", flush=True)


def main() -> None:
    if len(sys.argv) > 2:
        measure(Path(sys.argv[1]), sys.argv[2])
        return
    traces = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"`python bench/record/forget.py {traces}`: {traces} traces of 4 KB\n")
    print("| | rows removed | seconds | CPU seconds | peak MB |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="freehold-forget-") as folder:
        fill(Path(folder), traces)
        for what in ("forget", "retention"):
            subprocess.run([sys.executable, __file__, folder, what], check=True)


if __name__ == "__main__":
    main()
