"""`freehold report`: what is known of a task's newest student before it may answer."""

from __future__ import annotations

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
    when,
)

if TYPE_CHECKING:
    from freehold.domain.evaluations import Compared, Costs, Difference, Evaluation, Example
    from freehold.evaluate.reports import Newest

_CLIP = 160


@click.command("report")
@click.argument("task")
@click.option("--student", default=None, help="Of this student [default: the newest that was looked at].")
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="So many of the worst examples, side by side.",
)
@config_option
@json_option
def report_command(task: str, student: str | None, examples: int, config: str | None, as_json: bool) -> None:
    """Show TASK's newest comparison slice by slice, its safety check, and what public harnesses measured."""
    from freehold.evaluate.reports import newest
    from freehold.store.evaluations import read_examples

    _, settings = settings_at(config)
    store = open_store(settings)
    found = find_task(store, task)
    known = newest(store, found.task_id, student)
    kept = {
        item.evaluation_id: read_examples(store, item) for item in (known.comparison, known.safety) if item is not None
    }
    if as_json:
        echo_json({"task": found.task_id, "evaluations": _listed(known), "examples": kept})
        return
    if not _listed(known):
        click.echo(f"Nothing has been evaluated for {found.name} yet: the loop does it once a student is trained.")
        return
    if known.comparison is not None:
        _comparison(found.name, known.comparison)
        _examples(kept[known.comparison.evaluation_id], examples)
    if known.safety is not None:
        _safety(known.safety)
        _examples(kept[known.safety.evaluation_id], examples)
    for item in known.harness:
        show_harness(item)


def _listed(known: Newest) -> list[Evaluation]:
    return [item for item in (known.comparison, known.safety, *known.harness) if item is not None]


def _comparison(name: str, item: Evaluation) -> None:
    report: Any = item.report
    compared: Compared = report
    beside = f" and {compared.in_force}" if compared.in_force else ""
    made = table(
        f"{name}: {item.student} beside the incumbent{beside} · {compared.part} rows · {when(item.created_ns)}",
        "slice", "", "rows", "candidate", "incumbent", "against it", "in force", "against it", "would answer",
        right=("rows", "candidate", "incumbent", "against it", "in force", "would answer"),
    )  # fmt: skip
    for one in compared.slices:
        made.add_row(
            one.by,
            one.name,
            f"{one.rows:,}{' (few)' if one.small else ''}",
            f"{one.candidate:.1%}",
            f"{one.incumbent:.1%}",
            _difference(one.against_incumbent),
            "–" if one.in_force is None else f"{one.in_force:.1%}",
            _difference(one.against_in_force),
            f"{one.taken:.0%}",
        )
    console().print(made)
    for one in compared.against_the_trend:
        click.echo(f"Worse for certain in one slice, although not over all: {one.name} ({one.rows:,} samples).")
    for line in cost_lines(compared.costs):
        click.echo(line)
    click.echo(
        f"Intervals hold at {compared.confidence:.0%}, each by itself; ! marks what is worse for certain among all "
        "slices." + ("" if compared.may_choose else " Certify rows: shown for information, they choose nothing.")
    )


def cost_lines(costs: Costs) -> list[str]:
    """What is known of costs, a line for each of the answerers."""
    parts: list[str] = []
    if costs.incumbent_dollars is not None:
        parts.append(f"The incumbent costs ${costs.incumbent_dollars:.6f} per answer{_took(costs.incumbent_ms)}.")
    for who, seconds, took in (
        ("The candidate", costs.candidate_cpu_seconds, costs.candidate_ms),
        ("The student in force", costs.in_force_cpu_seconds, costs.in_force_ms),
    ):
        if seconds is not None:
            parts.append(f"{who} takes {seconds:.4f} CPU seconds per answer{_took(took)}.")
    return parts


def _took(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f", and {milliseconds:,.0f} ms in the middle"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "–"
    text = f"{found.mean:+.1%} ({found.lower:+.1%} to {found.upper:+.1%})"
    return f"{text} !" if found.flagged else text


def _examples(found: list[Example] | None, most: int) -> None:
    if found is None:
        click.echo("Its examples were forgotten.")
        return
    for one in found[:most]:
        click.echo(f"\n{one.section} · {one.row or 'a probe'} · {one.why}")
        for who, text, score in (
            ("asked", one.prompt, None),
            ("incumbent", one.incumbent, one.incumbent_score),
            ("in force", one.in_force, one.in_force_score),
            ("candidate", one.candidate, one.candidate_score),
        ):
            if text is not None:
                click.echo(f"  {who:<10}{'' if score is None else f'{score:.2f} '}{_line(text)}")
    if found[:most]:
        click.echo()


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _CLIP else line[:_CLIP] + "…"


def _safety(item: Evaluation) -> None:
    report: Any = item.report
    made = table(f"Safety of {item.student} · {when(item.created_ns)}", "check", "", "what was found")
    for check in report.checks:
        state = "not done" if check.passed is None else "passed" if check.passed else "FAILED"
        made.add_row(check.name, state, " ".join(filter(None, (check.sentence, "" if check.passed else check.hint))))
    console().print(made)


def show_harness(item: Evaluation) -> None:
    """Print what a harness measured."""
    report: Any = item.report
    made = table(
        f"{report.harness} {report.version} · {report.model} · {when(item.created_ns)}",
        "task", "metric", "value", "± standard error", "samples",
        right=("value", "± standard error", "samples"),
    )  # fmt: skip
    for one in report.scores:
        made.add_row(
            one.task,
            one.metric,
            f"{one.value:.4g}",
            "–" if one.stderr is None else f"{one.stderr:.2g}",
            f"{one.samples:,}" if one.samples else "–",
        )
    console().print(made)
