"""Commands run in this process: their logs must not hold on to a test's captured output."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from freehold.cli.main import main

Run = Callable[..., tuple[int, str, str]]
"""Runs a command in this process; gives its exit code, standard output and standard error."""


@pytest.fixture(autouse=True)
def quiet_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def configure(level: str = "info") -> None:
        del level
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    monkeypatch.setattr("freehold.config.logs.configure_logs", configure)
    monkeypatch.setattr("freehold.cli.serve.configure_logs", configure)
    yield
    structlog.reset_defaults()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command: its exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(list(arguments))
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call
