"""What the tests of the command line share."""

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
"""Runs a command in this process; gives its exit code, standard output and standard error."""
