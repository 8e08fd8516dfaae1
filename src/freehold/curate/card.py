"""A dataset's card: what is in it, where it came from, by what right, and how to make it again. Markdown."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from freehold.config.curate_settings import CurateStep
from freehold.curate.steps.languages import language_of
from freehold.domain.evidence import Dataset, Sample
from freehold.domain.tasks import Task
from freehold.rights.words import NOTICE

CARD = "card.md"
_MAX_ANSWERS = 20
_MAX_ANSWER_CHARACTERS = 60
_LANGUAGES_LOOKED_AT = 2_000
_QUANTILES = ((0.0, "shortest"), (0.5, "median"), (0.95, "95%"), (1.0, "longest"))


def card_of(dataset: Dataset, samples: Sequence[Sample], task: Task, steps: Sequence[CurateStep]) -> str:
    """The card. Of prompts it says nothing but counts; answers are shown where they are labels of a closed set."""
    sections = [
        _head(dataset, task),
        _counts("Parts", "part", dataset.parts.items()),
        _steps(dataset),
        _counts("Left out", "reason", dataset.left_out.items()),
        _counts("Answers", "answer", _answers(dataset, samples)),
        _counts("Answered by", "who", Counter(sample.answered_by or "?" for sample in samples).most_common()),
        _counts("Came here", "how", Counter(_way(sample) for sample in samples).most_common()),
        _rights(dataset, samples),
        _denied(dataset),
        _counts("Languages", "language", _languages(samples)),
        _lengths(samples),
        _rebuild(dataset, task, steps),
    ]
    return "\n".join(section for section in sections if section)


def _head(dataset: Dataset, task: Task) -> str:
    first, last = (_time(at_ns) for at_ns in (dataset.since_ns, dataset.until_ns))
    before = f"- Before it: `{dataset.parent}`\n" if dataset.parent else ""
    return (
        f"# Dataset `{dataset.dataset_id}`\n\n"
        f"{dataset.rows} rows of the task {_cell(task.name)} (`{task.task_id}`), from {first} to {last}.\n\n"
        f"- SHA-256 of the rows: `{dataset.sha256}`\n"
        f"- SHA-256 of the steps' settings: `{dataset.pipeline_sha256}`\n"
        f"{before}"
        f"- Answers: {dataset.form.kind}. {_cell(dataset.form.reason)}\n"
    )


def _steps(dataset: Dataset) -> str:
    if not dataset.steps:
        return "## Steps\n\nNone: every usable exchange is a row.\n"
    rows = [
        f"| {step.step} | {step.took} | {step.gave} | {step.changed} | {_reasons(step.reasons)} |"
        for step in dataset.steps
    ]
    header = "| step | took | gave | changed | why rows went |\n|---|---:|---:|---:|---|\n"
    note = (
        "\n\nRows to certify on are left as they came by every step but `split`: they are a fair draw of the traffic.\n"
    )
    return "## Steps\n\n" + header + "\n".join(rows) + note


def _reasons(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {_cell(reason)}" for reason, count in reasons.items()) or "–"


def _answers(dataset: Dataset, samples: Sequence[Sample]) -> list[tuple[str, int]]:
    if dataset.form.kind != "label":
        return []
    counts = Counter(sample.answer.strip() for sample in samples).most_common()
    shown = [(_shortened(answer), count) for answer, count in counts[:_MAX_ANSWERS]]
    rest = counts[_MAX_ANSWERS:]
    return [*shown, (f"{len(rest)} others", sum(count for _, count in rest))] if rest else shown


def _way(sample: Sample) -> str:
    return f"{sample.origin}, from {sample.source}" if sample.source else sample.origin


def _rights(dataset: Dataset, samples: Sequence[Sample]) -> str:
    rows = Counter(sample.terms for sample in samples)
    lines = [
        f"| {_cell(verdict.subject)} | {rows[verdict.subject]} | {verdict.outcome} | {_cell(verdict.reason)} "
        f"| {_cell('; '.join(verdict.duties)) or '–'} | {_cell(f'{verdict.source}, {verdict.date}')} |"
        for verdict in dataset.verdicts
    ]
    header = "| terms | rows | training a classifier | why | duties | source and date |\n|---|---:|---|---|---|---|\n"
    return "## Rights\n\n" + header + "\n".join(lines) + f"\n\n{NOTICE}\n"


def _denied(dataset: Dataset) -> str:
    """What rights cost in rows."""
    if not dataset.denied:
        return ""
    lines = [
        f"| {_cell(item.terms)} | {item.rows} | {item.share:.1%} | {item.outcome} | {_cell(item.clause) or 'unknown'} "
        f"| {_cell(item.reason)} | {item.judged}; {_cell(item.source)}, {item.read} |"
        for item in dataset.denied
    ]
    header = "| terms | rows | share of answers | verdict | clause | why | on |\n|---|---:|---:|---|---|---|---|\n"
    return "## Left out by rights\n\n" + header + "\n".join(lines) + f"\n\n{NOTICE}\n"


def _languages(samples: Sequence[Sample]) -> list[tuple[str, int]]:
    """Of prompts evenly spread over the rows."""
    every = max(1, len(samples) // _LANGUAGES_LOOKED_AT)
    found = Counter(language_of(sample.prompt) or "not told" for sample in samples[::every])
    return [(f"{language} (of 1 in {every} rows)" if every > 1 else language, n) for language, n in found.most_common()]


def _lengths(samples: Sequence[Sample]) -> str:
    lines: list[str] = []
    for name in ("prompt", "answer"):
        lengths = sorted(len(getattr(sample, name)) for sample in samples)
        figures = (str(lengths[round(share * (len(lengths) - 1))]) for share, _ in _QUANTILES)
        lines.append(f"| {name} | {' | '.join(figures)} |")
    header = f"| characters | {' | '.join(word for _, word in _QUANTILES)} |\n|---|{'---:|' * len(_QUANTILES)}\n"
    return "## Lengths\n\n" + header + "\n".join(lines) + "\n"


def _rebuild(dataset: Dataset, task: Task, steps: Sequence[CurateStep]) -> str:
    declared = "\n".join(msgspec.json.encode(step).decode() for step in steps) or "none"
    return (
        "## To make it again\n\n"
        f"`freehold curate {task.task_id} --fresh` on the traces up to {_time(dataset.until_ns)}, with these steps "
        "(settings that are not named have their defaults):\n\n"
        f"```json\n{declared}\n```\n"
    )


def _counts(title: str, column: str, counts: Iterable[tuple[str, int]]) -> str:
    lines = [f"| {_cell(name)} | {count} |" for name, count in counts]
    return f"## {title}\n\n| {column} | rows |\n|---|---:|\n" + "\n".join(lines) + "\n" if lines else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_ANSWER_CHARACTERS else text[: _MAX_ANSWER_CHARACTERS - 1] + "…"


def _cell(text: str) -> str:
    """Text that cannot break out of a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _time(at_ns: int) -> str:
    return datetime.datetime.fromtimestamp(at_ns / 1e9, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
