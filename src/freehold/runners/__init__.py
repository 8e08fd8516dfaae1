"""Where a job runs: a process on this machine; and where its batches of rows are looked at: there, or on a cluster.

Public names: `Runner`, `Running`, `LocalRunner`, `end_process`; `Batches`, `LocalBatches`, `Work`. `RayBatches` is
imported by name from `freehold.runners.ray`, which needs `freehold[ray]`.
"""

from freehold.runners.base import Runner, Running
from freehold.runners.batches import Batches, LocalBatches, Work
from freehold.runners.local import LocalProcess, LocalRunner, end_process

__all__ = ["Batches", "LocalBatches", "LocalProcess", "LocalRunner", "Runner", "Running", "Work", "end_process"]
