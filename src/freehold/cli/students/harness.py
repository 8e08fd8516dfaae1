"""`freehold harness`: measure a model behind our endpoint with the harness that others use."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from freehold.cli.common import (
    Command,
    config_option,
    console,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
)

if TYPE_CHECKING:
    from freehold.domain.evaluations import Harness
    from freehold.evaluate.harness import HarnessRun
    from freehold.store import Store

_STUDENT = "student/"


def _shared(command: Command) -> Command:
    for option in reversed((
        click.option("--task", "tasks", multiple=True, required=True, help="A task of the harness; may be repeated."),
        click.option("--model", required=True, help="As the endpoint calls it, such as student/ID."),
        click.option("--base-url", default=None, help="Of an OpenAI-compatible endpoint [default: the gateway's]."),
        click.option("--api-key-env", default="FREEHOLD_API_KEY", show_default=True, help="Variable with its key."),
        click.option("--for", "owner", default=None, help="Keep the result with this task of ours."),
        click.option("--limit", type=click.IntRange(min=1), default=None, help="Samples of each task [default: all]."),
        click.option("--concurrent", type=click.IntRange(min=1), default=8, help="Requests at once [default: 8]."),
        click.option("--timeout", type=click.FloatRange(min=1), default=None, help="Seconds [default: no limit]."),
        click.option("--offline", is_flag=True, help="Fetch nothing from the Hugging Face hub."),
        config_option,
        json_option,
    )):  # fmt: skip
        command = option(command)
    return command


@click.group("harness")
def harness_command() -> None:
    """Measure a model behind our endpoint with lm-evaluation-harness or Inspect (`pip install freehold[harness]`)."""


@harness_command.command("lm-eval")
@click.option("--include-path", default="", help="Folder with tasks of your own.")
@click.option("--completions", is_flag=True, help="Ask /v1/completions: for tasks that compare log-probabilities.")
@click.option("--tokenizer", default="", help="With --completions: folder of the model's tokenizer.")
@_shared
def lm_eval_command(include_path: str, completions: bool, tokenizer: str, **shared: object) -> None:
    """Run tasks of lm-evaluation-harness."""
    _measure("lm-eval", shared, include_path=include_path, completions=completions, tokenizer=tokenizer)


@harness_command.command("inspect")
@_shared
def inspect_command(**shared: object) -> None:
    """Run tasks of Inspect: files (FILE or FILE@TASK) or packaged ones."""
    _measure("inspect", shared)


def _measure(harness: Harness, shared: dict[str, object], **more: object) -> None:
    import msgspec

    from freehold.cli.students.report import show_harness
    from freehold.evaluate.harness import HarnessRun, run_harness
    from freehold.evaluate.reports import keep_report

    config, owner, as_json = shared["config"], shared["owner"], shared["as_json"]
    _, settings = settings_at(config if isinstance(config, str) else None)
    store = open_store(settings)
    task = find_task(store, str(owner)).task_id if owner else _task_of(store, str(shared["model"]))
    wanted = {
        "harness": harness,
        "tasks": shared["tasks"],
        "base_url": shared["base_url"] or f"http://{settings.gateway.host}:{settings.gateway.port}/v1",
        "model": shared["model"],
        "api_key": os.environ.get(str(shared["api_key_env"]), ""),
        "limit": shared["limit"],
        "concurrent": shared["concurrent"],
        "timeout_seconds": shared["timeout"],
        "offline": shared["offline"],
    }
    run: HarnessRun = msgspec.convert({**wanted, **more}, HarnessRun)
    if as_json:
        report = run_harness(run)
    else:
        with console().status(f"{harness}: {', '.join(run.tasks)}"):
            report = run_harness(run)
    kept = keep_report(store, report, task=task, student=_student(run.model), now_ns=time.time_ns())
    if as_json:
        echo_json(kept)
    else:
        show_harness(kept)


def _student(model: str) -> str:
    return model.removeprefix(_STUDENT) if model.startswith(_STUDENT) else ""


def _task_of(store: Store, model: str) -> str:
    """Of the student that is measured; empty for any other model."""
    student = store.control.students.get(_student(model)) if _student(model) else None
    return "" if student is None else student.task
