"""Puts the fixtures of `cli_fixtures` and `recall_fixtures` within reach of the tests beside it."""

from cli_fixtures import quiet_logs, run
from recall_fixtures import branch

__all__ = ["branch", "quiet_logs", "run"]
