"""Puts fixtures within reach of the tests beside it."""

from cli_fixtures import quiet_logs, run

__all__ = ["quiet_logs", "run"]
