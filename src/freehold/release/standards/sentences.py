"""What several documents say of a student in words: its figures, what it is for, and what it is not."""

from __future__ import annotations

from typing import NamedTuple

from freehold.domain.rights import DutyKind
from freehold.release.inventory import Inventory
from freehold.release.standards.shared import day

_LOSSES = {
    "disagreement": "share of answers that differ from the incumbent's",
    "harm": "mean loss in score against the incumbent's answer, gains not counted",
    "signed": "mean loss in score against the incumbent's answer, gains offset losses",
}

_OF_THE_RUN = frozenset(("kilowatt_hours", "parameters", "steps", "tokens"))

LIMITING: frozenset[DutyKind] = frozenset(("use-policy", "not-competing", "not-distributed", "registration"))
"""Duties that say what it may not be used for, or by whom."""


class Metric(NamedTuple):
    """One figure."""

    id: str
    name: str
    value: float
    upper: float | None
    """Upper bound at the certificate's confidence; None: there is none."""
    rows: str
    """What it was measured on."""


def metrics(inventory: Inventory) -> tuple[Metric, ...]:
    """The certificate's figures, then those of the training."""
    found = inventory.evaluation
    scope = "answered requests" if found.risk == "served" else "all requests of the task"
    certified = Metric(
        "certified_loss",
        f"{_LOSSES.get(found.loss, found.loss)}, over {scope}",
        found.loss_estimate,
        found.loss_upper,
        f"{found.certify_rows} certify rows",
    )
    coverage = Metric(
        "coverage",
        "share of requests that it answers at the certified threshold",
        found.coverage,
        None,
        f"{found.certify_rows} certify rows",
    )
    fitted = (
        Metric(name, name.replace("_", " "), value, None, _measured_on(inventory, name))
        for name, value in sorted(found.metrics.items())
    )
    return (certified, coverage, *fitted)


def _measured_on(inventory: Inventory, name: str) -> str:
    if inventory.weights.kind == "generative" and name.startswith(("tune_", "cpu_seconds_per_answer")):
        return "rows to tune on, after training"
    if inventory.weights.kind == "generative" and name in _OF_THE_RUN:
        return "the training run"
    return "rows to fit on, while training"


def application(inventory: Inventory) -> str:
    """What it is for."""
    thresholds = ", ".join(number(threshold) for threshold in inventory.evaluation.thresholds)
    what = "chooses the answer" if inventory.weights.kind == "classifier" else "writes the answer"
    return (
        f"Requests of the task {inventory.task}: it {what} where its signal reaches the certified threshold "
        f"({thresholds or 'none'}); all other requests go to the model that answered before."
    )


def limitations(inventory: Inventory) -> tuple[str, ...]:
    """What it is not for, and what its figures rest on."""
    weights, data, found = inventory.weights, inventory.data, inventory.evaluation
    sentences: list[str] = []
    if weights.kind == "classifier":
        sentences.append(f"It can only give answers that it has seen: {weights.labels} values in all.")
    else:
        sentences.append("It writes text that nobody may have read yet: below its threshold, do not use its answers.")
    if weights.adapter and weights.base is not None:
        sentences.append(f"It is an adapter, and answers only on {weights.base.name} with the SHA-256 told of.")
    sentences.append(
        f"Its figures hold for requests like those of {day(data.since_ns)} to {day(data.until_ns)}, which it was "
        "certified on; requests unlike these are not covered."
    )
    sentences.append("Loss is measured against the incumbent's answers, which may be wrong themselves.")
    sentences += [f"The certificate assumes: {assumption}" for assumption in found.assumptions]
    sentences += [
        f"{duty.licence} limits its use: {duty.text or duty.kind}"
        for duty in inventory.rights.duties
        if duty.kind in LIMITING
    ]
    return tuple(dict.fromkeys(sentences))


def number(value: float) -> str:
    """Six significant digits."""
    return f"{value:.6g}"


def cell(text: str) -> str:
    """Text that cannot break a line or a table of Markdown, and shows as itself."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    for special in "\\`*_[]<>|":
        line = line.replace(special, f"\\{special}")
    return line


def code(text: str) -> str:
    """The same as code."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return "`" + line.replace("`", "'").replace("|", "\\|") + "`" if line else ""
