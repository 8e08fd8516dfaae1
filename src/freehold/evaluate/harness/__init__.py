"""A public harness pointed at our endpoint in; what it measured, in one form whichever harness it was, out.

lm-evaluation-harness and Inspect are run as their own commands, in a process of their own: they load torch and more,
and their tasks may run code. Both are in the extra `freehold[harness]`.

Public names: `HarnessRun`, `run_harness`.
"""

from freehold.evaluate.harness.run import HarnessRun, run_harness

__all__ = ["HarnessRun", "run_harness"]
