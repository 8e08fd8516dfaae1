"""Where a job runs: a process on this machine (later issues add others).

Public names: `Runner`, `Running`, `LocalRunner`, `end_process`.
"""

from freehold.runners.base import Runner, Running
from freehold.runners.local import LocalProcess, LocalRunner, end_process

__all__ = ["LocalProcess", "LocalRunner", "Runner", "Running", "end_process"]
