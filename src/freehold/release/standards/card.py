"""The model card: a README.md that Hugging Face's library reads and a person enjoys reading.

Front matter as described in Hugging Face's hub documentation ("Model Cards"): licence, base model, task, tags, and the
certified figures as `model-index`. Its scalars are written as JSON strings, which are YAML too, so that no library is
needed. `problems` reads it with huggingface_hub (Apache-2.0), as its hub does, and asks that nothing is lost on the
way. The hub checks licence names and sizes of fields once more when a card is pushed: that needs the network.
"""

from __future__ import annotations

import json
import re
from typing import Any

from freehold.domain.rights import Outcome
from freehold.release.inventory import README, Inventory
from freehold.release.standards.mof import mof_class
from freehold.release.standards.osaid import osaid_report
from freehold.release.standards.sentences import application, cell, code, limitations, metrics, number
from freehold.release.standards.shared import day, files_of, instant, library, pathless

_HUB_LICENCES = {
    licence: licence.lower()
    for licence in [
        "AFL-3.0",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC-BY-4.0",
        "CC-BY-NC-4.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "CDLA-Permissive-1.0",
        "CDLA-Permissive-2.0",
        "CDLA-Sharing-1.0",
        "EPL-2.0",
        "EUPL-1.2",
        "ISC",
        "MIT",
        "MPL-2.0",
        "OSL-3.0",
        "Unlicense",
        "Zlib",
    ]
}
"""SPDX id → the hub's; all others are `other`, with a name and a file."""
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_OUTCOMES: dict[Outcome, str] = {
    "allow": "allowed",
    "duties": "allowed, with duties",
    "needs-counsel": "a question for counsel",
    "deny": "not allowed",
}
_FRONT = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)


def write(inventory: Inventory) -> bytes:
    """`README.md`."""
    parts = [
        _front_matter(inventory),
        _title(inventory),
        _at_a_glance(inventory),
        _use(inventory),
        _quality(inventory),
        _data(inventory),
        _training(inventory),
        _lineage(inventory),
        _openness(inventory),
        _verify(inventory),
        _contents(inventory),
    ]
    return "\n".join(parts).encode()


def _front_matter(inventory: Inventory) -> str:
    weights = inventory.weights
    classifies = weights.kind == "classifier"
    front: dict[str, Any] = {
        **_hub_licence(inventory.licence),
        "library_name": "freehold",
        "pipeline_tag": "text-classification" if classifies else "text-generation",
        "tags": ["freehold", "certified", "safetensors", weights.kind],
    }
    if weights.base is not None and _HUB_NAME.fullmatch(weights.base.name):
        front["base_model"] = weights.base.name
    front["model-index"] = [_results(inventory)]
    return f"---\n{_yaml(front)}\n---\n"


def _hub_licence(licence: str) -> dict[str, str]:
    if licence in _HUB_LICENCES:
        return {"license": _HUB_LICENCES[licence]}
    return {"license": "other", "license_name": licence or "all-rights-reserved", "license_link": "NOTICE"}


def _results(inventory: Inventory) -> dict[str, Any]:
    task = "text-classification" if inventory.weights.kind == "classifier" else "text-generation"
    dataset = {"type": inventory.data.dataset_id, "name": f"Certify rows of {inventory.task}", "split": "certify"}
    listed: list[dict[str, str | float]] = []
    for metric in metrics(inventory)[:2]:
        listed.append({"type": metric.id, "value": metric.value, "name": metric.name})
        if metric.upper is not None:
            listed.append({"type": f"{metric.id}_upper", "value": metric.upper, "name": f"Upper bound: {metric.name}"})
    result = {"task": {"type": task, "name": inventory.task}, "dataset": dataset, "metrics": listed}
    return {"name": inventory.name, "results": [result]}


def _yaml(value: Any, indent: int = 0) -> str:
    """Block YAML of maps, lists, text and floats."""
    pad = "  " * indent
    if isinstance(value, dict):
        entries: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return "\n".join(
            f"{pad}{key}: {_scalar(inner)}"
            if isinstance(inner, str | float)
            else f"{pad}{key}:\n{_yaml(inner, indent + 1)}"
            for key, inner in entries.items()
        )
    lines: list[str] = []
    for inner in value:
        if isinstance(inner, str | float):
            lines.append(f"{pad}- {_scalar(inner)}")
        else:
            block = _yaml(inner, indent + 1)
            lines.append(f"{pad}- {block[len(pad) + 2 :]}")
    return "\n".join(lines)


def _scalar(value: str | float) -> str:
    if not isinstance(value, str):
        return f"{value:.6f}"
    return json.dumps("".join(each if each.isprintable() else " " for each in value), ensure_ascii=False)


def _title(inventory: Inventory) -> str:
    lines = [f"# {cell(inventory.name)}", ""]
    if inventory.description:
        lines += [cell(inventory.description), ""]
    for duty in inventory.rights.duties:
        if duty.kind == "display":
            lines += [f"**{cell(duty.text)}**", ""]
    lines += [f"> {cell(inventory.evaluation.statement)}", ""]
    return "\n".join(lines)


def _at_a_glance(inventory: Inventory) -> str:
    weights, found = inventory.weights, inventory.evaluation
    licence = cell(inventory.licence) or "none: all rights reserved"
    rows = [
        ("Task", cell(inventory.task)),
        ("What it is", cell(weights.architecture)),
        ("Size", f"{weights.parameters:,} numbers, as {weights.format}"),
        ("Loss, upper bound", f"{_figure(found.loss_upper)}, at confidence {_percent(1 - found.delta_spent)}"),
        ("Answers", f"{_percent(found.coverage)} of the requests; the rest go to the model that answered before"),
        ("Licence", licence),
        ("Given out by", cell(inventory.supplier) or "not said"),
        ("Built", f"{instant(inventory.created_ns)} by {cell(inventory.software)}"),
        ("Release", code(inventory.release_id)),
    ]
    if weights.base is not None:
        rows.insert(2, ("Trained from", f"{cell(weights.base.name)}, revision {code(weights.base.revision)}"))
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""])


def _use(inventory: Inventory) -> str:
    lines = ["## What it is for", "", cell(application(inventory)), "", "## Limits", ""]
    return "\n".join([*lines, *(f"- {cell(sentence)}" for sentence in limitations(inventory)), ""])


def _quality(inventory: Inventory) -> str:
    found = inventory.evaluation
    lines = ["## How good it is", "", cell(found.finding), "", "| figure | value | at most | measured on |"]
    lines.append("|---|---|---|---|")
    lines += [
        f"| {cell(metric.name)} | {_figure(metric.value)} | {_figure(metric.upper)} | {cell(metric.rows)} |"
        for metric in metrics(inventory)
    ]
    lines += [
        "",
        f"The upper bound holds with confidence {_percent(1 - found.delta_spent)} ({cell(found.test)} test), and was "
        f"asked to stay below {number(found.epsilon)}. Certificate {code(found.certificate_id)} of "
        f"{day(found.issued_ns)} says so, signed; what it was computed from is beside it in `evaluation/`, with every "
        f"output and score ({found.items} rows).",
        "",
    ]
    return "\n".join(lines)


def _data(inventory: Inventory) -> str:
    data = inventory.data
    parts = ", ".join(f"{rows} to {part}" for part, rows in sorted(data.parts.items()))
    where = "They are in `data/rows.jsonl.zst`."
    if not data.shipped:
        where = f"They are not given out. {cell(data.why_not_shipped)}".rstrip()
    lines = ["## What it was trained on", ""]
    lines.append(
        f"{data.rows} rows ({parts or 'of no part'}) recorded from {day(data.since_ns)} to {day(data.until_ns)}. "
        f"{where} The hash of each is in `data/rows.txt`, in order."
    )
    if data.treated:
        lines += ["", f"For the privacy of those whom they tell of: {cell('; '.join(data.treated))}."]
    if data.left_out:
        lines += ["", "Left out:", ""]
        lines += [f"- {rows} rows: {cell(reason)}" for reason, rows in sorted(data.left_out.items())]
    return "\n".join([*lines, ""])


def _training(inventory: Inventory) -> str:
    training, costs = inventory.training, inventory.costs
    run = training.run
    lines = ["## How it was trained", "", f"{cell(training.method)} Seed {training.seed}."]
    if run is None:
        lines += ["", "On which machine, and for how long, was not recorded."]
    else:
        lines += ["", f"On {cell(run.machine.cpu)}, {cell(run.machine.system)}, {cell(run.machine.python)}."]
    if costs.cpu_seconds is not None and costs.kilowatt_hours is not None and costs.dollars is not None:
        lines += [
            "",
            f"It took {_figure(costs.cpu_seconds)} CPU seconds (measured). Assuming {_figure(costs.watts_per_core)} W "
            f"and ${_figure(costs.dollars_per_core_hour)} an hour per core, that is {_figure(costs.kilowatt_hours)} "
            f"kWh and ${_figure(costs.dollars)}.",
        ]
    return "\n".join([*lines, ""])


def _lineage(inventory: Inventory) -> str:
    lines = ["## Where it comes from", "", "| what | whose | under | text read | text kept |", "|---|---|---|---|---|"]
    for each in inventory.lineage.ancestors:
        role = f"{each.role}, {each.rows} rows" if each.rows else each.role
        kept = f"[{cell(each.text)}]({each.text})" if each.text else "no"
        lines.append(f"| {role} | {cell(each.asset_id)} | {cell(each.name)} | {cell(each.read) or '–'} | {kept} |")
    if not inventory.lineage.ancestors:
        lines.append("| – | the organisation's own | – | – | – |")
    ruling = inventory.rights.distribute
    lines += ["", f"Giving it out: **{_OUTCOMES[ruling.outcome]}**, by the verdict of {ruling.date}.", ""]
    duties = [
        f"- {cell(duty.text or duty.kind)} ({cell(duty.licence)}, {cell(duty.clause)}): {cell(duty.how)}"
        for duty in inventory.rights.duties
    ]
    lines += [*duties, ""] if duties else []
    return "\n".join([*lines, f"{inventory.rights.notice} `NOTICE` has all of it.", ""])


def _openness(inventory: Inventory) -> str:
    openness, definition = mof_class(inventory), osaid_report(inventory)
    osi = "meets" if definition.meets else "does not meet"
    lines = ["## How open it is", ""]
    lines.append(
        f"By the Model Openness Framework: **{openness.name}**. It {osi} the Open Source AI Definition 1.0. Both by "
        "our reading; `standards/mof.md` and `standards/osaid.json` say what each rests on."
    )
    upward = next((standing for standing in openness.standings if not standing.reached), None)
    if upward is not None:
        lines += ["", f"Missing for {upward.name}:", "", *(f"- {cell(sentence)}" for sentence in upward.missing)]
    return "\n".join([*lines, ""])


def _verify(inventory: Inventory) -> str:
    return "\n".join(
        [
            "## How to verify it",
            "",
            "```sh",
            "pip install freehold",
            "freehold release verify . --level 4 --key PUBLIC_KEY",
            "```",
            "",
            "Offline, and trusting nothing here but what that key signed: 0 checks every byte, 1 answers the "
            "evaluation again, 2 rebuilds the dataset, 3 replays a part of the training, 4 trains it again to the same "
            "bytes. It says which level was reached, and why not more.",
            "",
            f"The key that signed is {code(inventory.public_key)}. Do not take it from here: ask whoever gave you "
            "this.",
            "",
        ]
    )


def _contents(inventory: Inventory) -> str:
    lines = ["## What is in the folder", "", "| file | what | state | SHA-256 |", "|---|---|---|---|"]
    for file in files_of(inventory):
        digest = code(file.sha256[:16] + "…") if file.sha256 else "in `manifest.json`"
        lines.append(f"| {code(file.path)} | {', '.join(file.roles)} | {file.state} | {digest} |")
    told = pathless(inventory)
    if told:
        lines += ["", "Not in the folder:", ""]
        lines += [f"- {item.role}: {cell(item.note) or 'only told of'}" for item in told]
    lines += [
        "",
        "*declared*: somebody says so. *present*: it is here, under a signed hash. *verified*: it was found to ",
    ]
    lines[-1] += "be what it is said to be when the release was built."
    return "\n".join([*lines, ""])


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _percent(share: float) -> str:
    return f"{share:.2%}"


def problems(document: bytes) -> tuple[str, ...]:
    """What in a README.md Hugging Face's library cannot read, or reads otherwise than it was written.

    Raises:
        ConfigError: huggingface_hub is not installed.
    """
    cards = library("huggingface_hub", "huggingface_hub", "The model card")
    yaml = library("yaml", "PyYAML", "The model card")
    try:
        text = document.decode()
        front = _FRONT.match(text)
        if front is None:
            return (f"{README} has no front matter.",)
        written: Any = yaml.safe_load(front.group(1))
        read: Any = cards.ModelCard(text).data.to_dict()
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, yaml.YAMLError) as failure:
        return (f"{README}: the front matter cannot be read: {failure}.",)
    lost = [key for key in written if read.get(key) != written[key]]
    found = [f"{README}: {key} is read as {read.get(key)!r}" for key in lost]
    if "license" not in written:
        found.append(f"{README}: no licence is named, not even `other`")
    return tuple(found)
