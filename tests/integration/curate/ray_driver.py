"""Curates the same rows here, on a Ray cluster, and on one of which a node is killed: a process of its own, because Ray
takes its token when it is imported. Prints what came of it as JSON: `python ray_driver.py FOLDER`."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from curate_rows import SECRET, make_rows, run, steps
from gated_work import GO, GatedBatches

from freehold.curate.pipeline import Curated, run_pipeline
from freehold.curate.rows import samples_of
from freehold.runners import Batches
from freehold.runners.ray import RayBatches
from freehold.store.artifacts import dataset_sha256

BATCH_ROWS = 25
_NODE: dict[str, Any] = {
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 80 * 1024 * 1024,
    "include_dashboard": False,
}
STEPS: tuple[dict[str, Any], ...] = (
    {"step": "redact"},
    {"step": "language", "languages": ["en"]},
    {"step": "exact-duplicates"},
    {"step": "decontaminate", "own": True},
    {"step": "near-duplicates"},
    {"step": "split"},
    {"step": "balance", "max_ratio": 1.5},
)


@contextmanager
def cluster() -> Generator[Any]:
    """A head without CPUs and two nodes with one each, on the loopback interface, behind a token."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(24), "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # bound to the loopback interface
    os.environ |= {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}  # told dead in 2 s
    folder = Path(tempfile.mkdtemp(prefix="fh-ray-", dir="/tmp"))  # paths of Unix sockets must be short
    os.environ["RAY_TMPDIR"] = str(folder)
    import ray
    from ray.cluster_utils import Cluster

    head = {**_NODE, "num_cpus": 0}
    made: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        made.workers = [made.add_node(num_cpus=1, **_NODE) for _ in range(2)]
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def make_traffic() -> pl.DataFrame:
    """Rows on which every step has something to do."""
    return make_rows(*(_row(n, n % 50) for n in range(200)))


def _row(n: int, kind: int) -> dict[str, Any]:
    """Fifty requests, each sent several times with another sender or another word; some in German."""
    certify = kind % 4 == 0
    # Those after one that certifies repeat half of it, and are else their own.
    own = kind - 1 if kind % 8 == 1 else kind
    body = " ".join([f"item{own * 31 + k}" for k in range(15)] + [f"item{kind * 31 + k}" for k in range(15, 30)])
    asked = "Wo ist das Paket, das ich bestellt habe, und wer hat es?" if n % 17 == 3 else "Where is what I asked for?"
    return {
        "prompt": f"{asked} {body} {'please' if n % 3 else 'thanks'}. I am a{n % 2}@corp-mail.net",
        "answer": "no" if n % 7 == 0 else "yes",
        "part": "certify" if certify else "fit",
        "episode": f"e{n // 4}" if n % 9 == 0 else None,
    }


def told(done: Curated) -> dict[str, Any]:
    """What came of the rows."""
    samples = dataset_sha256(samples_of(done.rows))
    return {"sha256": samples, "left_out": done.left_out.rows(), "steps": [step.reasons for step in done.steps]}


def killed(made: Any, rows: pl.DataFrame, batches: Batches, gate: Path) -> dict[str, Any]:
    """The same, while a node that has begun a batch is killed; with where that batch was begun."""
    victim = made.workers[-1]
    found: list[Curated] = []
    gated = GatedBatches(batches, gate)

    def work() -> None:
        found.append(run_pipeline(rows, steps(*STEPS), gated, lambda: SECRET))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    _wait_for(lambda: any(gate.glob(f"{victim.node_id}-*")), "a batch on the node")
    made.remove_node(victim, allow_graceful=False)
    (gate / GO).touch()
    thread.join(150)
    begun = {path.name.partition("-")[2] for path in gate.glob(f"{victim.node_id}-*")}
    return {**told(found[0]), "again": [len(list(gate.glob(f"*-{batch}"))) for batch in begun]}


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        threading.Event().wait(0.05)


def main() -> None:
    """Do it all."""
    gate = Path(sys.argv[1])
    rows = make_traffic()
    result: dict[str, Any] = {"rows": rows.height, "here": told(run(rows, *STEPS, batch_rows=1000))}
    with cluster() as made:
        batches = RayBatches(made.address, BATCH_ROWS)
        result["there"] = told(run_pipeline(rows, steps(*STEPS), batches, lambda: SECRET))
        result["killed"] = killed(made, rows, batches, gate)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
