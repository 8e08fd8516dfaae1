"""Trains on a Ray cluster of two nodes: as it comes, and with a worker killed. A process of its own, because Ray takes
its token when it is imported. Prints what came of it as JSON: `python team_driver.py FOLDER`."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from team_rows import OVER, SWEPT, samples, trained

from freehold.domain.errors import ConfigError
from freehold.train.generative.cluster import RayWorkers
from freehold.train.generative.spec import CHECKPOINT
from freehold.train.generative.sweep import Trial, best_of, sweep_on_ray, variants_of
from freehold.train.progress import Progress

_NODE: dict[str, Any] = {
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 80 * 1024 * 1024,
    "include_dashboard": False,
    "num_cpus": 1,
}
_TOKEN = secrets.token_hex(24)


@contextmanager
def cluster() -> Generator[Any]:
    """Two nodes with one CPU each, on the loopback interface, behind a token."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # bound to the loopback interface
    folder = Path(tempfile.mkdtemp(prefix="fh-ray-", dir="/tmp"))  # paths of Unix sockets must be short
    os.environ["RAY_TMPDIR"] = str(folder)
    import ray
    from ray.cluster_utils import Cluster

    made: Any = Cluster(initialize_head=True, head_node_args=_NODE)
    try:
        made.add_node(**_NODE)
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def pids(title: bytes) -> list[int]:
    """Processes of this cluster that call themselves so."""
    found: list[int] = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if title in (place / "cmdline").read_bytes() and _TOKEN.encode() in (place / "environ").read_bytes():
                    found.append(int(place.name))
            except OSError:
                continue  # it is gone, or not ours
    return sorted(found)


def kill_once(folder: Path, told: list[int], killed: list[int]) -> Callable[[Progress], None]:
    """Kill a worker as soon as there is a checkpoint to go on from; keep at which step each look was."""

    def watch(progress: Progress) -> None:
        told.append(progress.step)
        if not killed and (folder / "run" / CHECKPOINT).exists() and progress.step < progress.steps:
            killed.append(pids(b"ray::_Member.work")[-1])
            os.kill(killed[0], signal.SIGKILL)

    return watch


def left_behind() -> list[str]:
    """What workers left in the folder for temporary files."""
    return [path.name for path in Path(tempfile.gettempdir()).glob("freehold-*")]


def main() -> None:
    """Do it all."""
    folder = Path(sys.argv[1])
    result: dict[str, Any] = {}
    told: list[int] = []
    killed: list[int] = []
    with cluster() as made:
        by = RayWorkers(made.address)
        result["killed"] = trained(folder, by, kill_once(folder, told, killed)).sha256
        result["files"] = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        result["looks"], result["kills"] = told, len(killed)
        try:
            trained(folder / "many", by, workers=3)
        except ConfigError as error:
            result["refused"] = error.message
        trials: list[Trial] = []
        sweep_on_ray(variants_of(SWEPT, OVER), samples(200), None, 5, trials.append, made.address)
        result["trials"] = [trial._asdict() for trial in trials]
        best = best_of(trials)
        result["best"] = best.settings if best is not None else None
    deadline = time.monotonic() + 20
    while (left := left_behind()) and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    result["left"] = left
    print(json.dumps(result))


if __name__ == "__main__":
    main()
