"""The process a job runs in: `python -m freehold.loop.worker --job ID --config FILE`."""

from __future__ import annotations

import argparse
import sys

import structlog

from freehold.config import configure_logs, find_config, load_settings
from freehold.domain.errors import FreeholdError
from freehold.loop.jobs import stepwise
from freehold.record.opening import open_store

_log = structlog.get_logger()


def main(arguments: list[str] | None = None) -> int:
    """Carry a stored job to its end; the exit code says whether it failed."""
    parser = argparse.ArgumentParser(prog="freehold.loop.worker")
    parser.add_argument("--job", required=True)
    parser.add_argument("--config")
    parser.add_argument("--log-level", default="info")
    options = parser.parse_args(arguments)
    configure_logs(options.log_level)
    try:
        settings = load_settings(find_config(options.config))
        store = open_store(settings)
        job = store.control.jobs.get(options.job)
        if job is None:
            _log.error("no such job", job=options.job)
            return 3
        stepwise(store, settings, job).run()
    except FreeholdError as error:
        _log.error("job failed", job=options.job, code=error.code, error=str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
