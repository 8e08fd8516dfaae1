"""Structured logs: JSON lines, or readable ones on a terminal. Prompts and secrets are never logged.

What callers sent may be part of a line (a model's name, for instance), so nothing of it can end the line, begin
another or steer a terminal: characters that cannot be printed are written as escapes, and the lines of a traceback are
indented. Other libraries' warnings take the same way.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO, cast

import structlog

LogFormat = Literal["auto", "json", "console"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def configure_logs(level: str = "info", form: LogFormat = "auto") -> None:
    """Send structured logs to standard error at `level` (debug, info, warning, error).

    `form`: auto means readable lines on a terminal, JSON elsewhere.
    """
    readable = form == "console" or (form == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            printable,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if readable
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level.lower(), logging.INFO)),
        logger_factory=lambda *_: structlog.WriteLogger(_STDERR),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    if not any(isinstance(handler, _Passing) for handler in root.handlers):
        root.addHandler(_Passing(logging.WARNING))


def printable(logger: object, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: every text in `line` on one line and without control characters, tracebacks apart."""
    for name, value in line.items():
        if isinstance(value, str):
            if name == "exception":
                line[name] = "\n".join("  | " + escaped(part) for part in value.splitlines())
            elif not value.isprintable():
                line[name] = escaped(value)
        elif not isinstance(value, int | float | None):
            line[name] = escaped(repr(value))
    return line


def escaped(text: str) -> str:
    """`text` with escapes for what cannot be printed: line ends, control characters, marks that turn the direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class _Passing(logging.Handler):
    """Passes what other libraries log on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        exception: Any = record.exc_info if record.exc_info and record.exc_info[0] else None
        extra = {"exc_info": exception} if exception else {}
        log.log(record.levelno, record.getMessage(), logger=record.name, **extra)


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


_STDERR = cast(TextIO, _Unfailing())
"""One for all loggers: structlog locks each file, so that lines of several threads do not run into each other."""
