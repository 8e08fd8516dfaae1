"""`freehold curate`, `train`, `evaluate`, `certify`, `promote`, `rollback`: one task's way, step by step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import (
    config_option,
    console,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    table,
)
from freehold.domain.errors import EvidenceError

if TYPE_CHECKING:
    from freehold.domain.events import Job
    from freehold.loop import StepName
    from freehold.store import Store
    from freehold.train.progress import Progress


def _move_command(name: StepName, text: str) -> click.Command:
    """A command that carries a task's job on to one step; steps done already are not done again."""

    @click.command(name, help=text)
    @click.argument("task")
    @click.option("--fresh", is_flag=True, help="Begin anew on today's traffic instead of carrying on.")
    @config_option
    @json_option
    def command(task: str, fresh: bool, config: str | None, as_json: bool) -> None:
        _advance(name, task, fresh, config, as_json)

    return command


def _advance(name: StepName, wanted: str, fresh: bool, config: str | None, as_json: bool) -> None:
    from freehold.loop import Move, new_move, open_move
    from freehold.loop.telling import in_words
    from freehold.record.sealer import Sealer

    _, settings = settings_at(config)
    store = open_store(settings)
    Sealer(store, settings.upstreams).seal_once()
    task = find_task(store, wanted)
    job = None if fresh else open_move(store, task.task_id)
    job = job or new_move(store, task.task_id)
    status = console().status(f"{name}: {task.name}")

    def watch(progress: Progress) -> None:
        status.update(f"{name}: {task.name}. {in_words(progress)}")

    move = Move(store, settings, job, eager=name in ("certify", "promote"), watch=watch)
    if as_json:
        job = move.run(name)
    else:
        with status:
            job = move.run(name)
        _show(job, task.name)
        if name == "curate":
            _show_steps(store, str(move.result("curate")["dataset"]))
    attempt = move.result("certify")
    if attempt is not None and attempt["certificate"] is None:
        raise EvidenceError(
            f"Not certified: {attempt['reason']}", "More traffic brings more evidence: `freehold plan`."
        )
    if as_json:
        echo_json({"task": task.task_id, "job": job.job_id, "steps": {step.name: step.result for step in job.steps}})


def _show(job: Job, title: str) -> None:
    made = table(f"{title} · {job.job_id}", "step", "seconds", "result", right=("seconds",))
    for step in job.steps:
        made.add_row(step.name, f"{step.seconds:.1f}", _sentence(step.name, step.result))
    console().print(made)


def _show_steps(store: Store, dataset_id: str) -> None:
    from freehold.cli.dataset import steps_table

    dataset = store.control.datasets.get(dataset_id)
    if dataset is None:
        return
    if dataset.steps:
        console().print(steps_table(f"Steps of {dataset_id[:11]}", dataset.steps))
    for item in dataset.denied:
        clause = item.clause or "nothing is known of them"
        click.echo(
            f"{item.rows:,} answers ({item.share:.0%}) under {item.terms} were left out: {item.outcome}, {clause}: "
            f"{item.reason} (judged {item.judged}, {item.source}, {item.read}; not legal advice)"
        )


def _sentence(name: str, result: dict[str, Any]) -> str:
    match name:
        case "curate":
            return f"dataset {result['dataset']} with {result['rows']} rows"
        case "train":
            return f"student {result['student']}, {result['agreement']:.1%} agreement on rows it had not seen"
        case "evaluate":
            view = result["view"]
            told = f"would answer {view['coverage']:.0%} at a loss of {view['loss']:.1%} ({view['chance']:.0%} chance)"
            return " ".join(filter(None, (result["reason"] or told, _denied_sentence(result.get("denied")))))
        case "begin":
            return f"attempt {result['attempt']}"
        case "certify":
            return f"certificate {result['certificate']}" if result["certificate"] else result["reason"]
        case _:
            return f"policy {result['policy']} is in force"


def _denied_sentence(denied: dict[str, Any] | None) -> str:
    import msgspec

    from freehold.evaluate.left_out import DeniedCost, in_words

    return "" if denied is None else in_words(msgspec.convert(denied, DeniedCost))


curate_command = _move_command("curate", "Build TASK's dataset from its traffic.")
train_command = _move_command("train", "Train TASK's student (and build its dataset, if there is none yet).")
evaluate_command = _move_command("evaluate", "Predict what certifying TASK's student would give; spends nothing.")
certify_command = _move_command("certify", "Test TASK's student on the certify part; spends one attempt's share of δ.")
promote_command = _move_command("promote", "Move TASK to its certified student.")


@click.command("rollback")
@click.argument("task")
@click.option("--reason", default="Rolled back by hand.", show_default=True, help="Why, for the record.")
@config_option
@json_option
def rollback_command(task: str, reason: str, config: str | None, as_json: bool) -> None:
    """Move TASK back to the incumbent; every worker follows within two seconds."""
    from freehold.promote import roll_back

    _, settings = settings_at(config)
    store = open_store(settings)
    found = find_task(store, task)
    policy = roll_back(store, settings, found.task_id, reason, {"by": "command"}, time.time_ns())
    if as_json:
        echo_json({"task": found.task_id, "policy": policy.version})
    else:
        click.echo(f"{found.name} is answered by the incumbent again (policy {policy.version}).")
