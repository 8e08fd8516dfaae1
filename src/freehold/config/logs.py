"""Structured logs: JSON lines, or readable ones on a terminal. Prompts and secrets are never logged."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog


class _Unfailing:
    """Standard error as it is at each line; a line that cannot be written (full disk, closed pipe) is let go.

    What is logged about must go on: a request must not fail because its failure to be recorded cannot be told.
    """

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


_stderr = cast(TextIO, _Unfailing())


def configure_logs(level: str = "info") -> None:
    """Send structured logs to standard error at `level` (debug, info, warning, error)."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.PrintLogger(_stderr),
        cache_logger_on_first_use=False,
    )
