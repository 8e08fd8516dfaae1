"""A plan on a terminal: the answer first, then the picture, the tasks, the models, and what more evidence would buy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, cast

from rich.text import Text

from freehold.cli import plan_words as words
from freehold.cli.canvas import Canvas
from freehold.cli.common import console, table
from freehold.cli.plan_picture import Picture, picture_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from freehold.curate.outcomes import ModelInFile
    from freehold.domain.plans import Plan

_TASKS = 20
"""Tasks shown; all are in the report and in the JSON."""
_ROWS = 14
_LABEL = 6
"""Characters of a label of the score axis."""
_LEAST_BRAILLE = 60
"""Narrower terminals get letters."""
_STYLES = {
    "best": ("b", "cyan", (6, 4)),
    "random": ("r", "bright_black", (1, 2)),
    "walk": ("w", "green", (1, 0)),
}
"""Kind of line → its letter, its colour, its dashes: told apart without colours too."""
_SAMPLE = 6
"""Characters of a line in the legend."""


def show_plan(plan: Plan) -> None:
    """Print it."""
    screen = _screen()
    screen.print(Text(words.headline(plan), "bold green" if plan.certified else "bold yellow"))
    screen.print(Text(words.answer(plan)))
    for line in words.losers(plan) if plan.certified else ():
        screen.print(Text(line, "yellow"))
    drawn = picture_of(plan)
    if drawn is not None:
        screen.print()
        for line in _picture(drawn, min(screen.width, 100), braille=_knows_braille(screen)):
            screen.print(line, no_wrap=True, crop=True)
        for line in _legend(drawn, screen.width, braille=_knows_braille(screen)):
            screen.print(line)
    if plan.tasks:
        screen.print(_tasks(plan))
    screen.print(_models(plan))
    if plan.more:
        screen.print(_more(plan))
    for line in _notes(plan):
        screen.print(Text(line, "dim"))


def show_models(path: str, models: Sequence[ModelInFile]) -> None:
    """Print the models of a file, and what to type next."""
    screen = _screen()
    made = table(
        "Models", "model", "owned", "score", "per 1,000 requests", "rows", right=("score", "per 1,000 requests", "rows")
    )
    for item in models:
        made.add_row(
            Text(words.clean(item.model)),
            "yes" if item.owned else "",
            "–" if item.score is None else f"{item.score:.3f}",
            "not known" if item.dollars is None else words.dollars(1000 * item.dollars),
            f"{item.rows:,}",
        )
    screen.print(made)
    for line in suggestion(path, models):
        screen.print(Text(line), soft_wrap=True)


def suggestion(path: str, models: Sequence[ModelInFile]) -> tuple[str, ...]:
    """The command to try: the dearest good model as the incumbent, the best cheaper ones as candidates."""
    from shlex import quote

    priced = [item for item in models if item.dollars is not None and item.score is not None]
    if not priced:
        return ("No model's dollars are known: give `--price MODEL=IN,OUT` per million tokens, or MODEL=DOLLARS.",)
    best = max(item.score or 0.0 for item in priced)
    good = [item for item in priced if (item.score or 0.0) >= best - 0.1]
    incumbent = max(good, key=lambda item: (item.dollars or 0.0, item.score or 0.0))
    cheaper = [item for item in priced if (item.dollars or 0.0) < (incumbent.dollars or 0.0)]
    if not cheaper:
        return ("No two models differ in dollars, so there is nothing to save.",)
    chosen = sorted(cheaper, key=lambda item: -(item.score or 0.0))[:2]
    options = "".join(f" --candidate {quote(item.model)}" for item in chosen)
    return (
        "Name the model that you use now and those that might take its place, for example:",
        f"  freehold plan {quote(path)} --incumbent {quote(incumbent.model)}{options}",
    )


def _screen() -> Console:
    made, out = console(), cast("object", sys.stdout)
    if isinstance(out, TextIOWrapper) and not made.encoding.lower().startswith("utf"):
        cast("TextIOWrapper", out).reconfigure(errors="replace")  # a question mark is better than no answer
    return made


def _knows_braille(screen: Console) -> bool:
    return screen.encoding.lower().startswith("utf") and screen.width >= _LEAST_BRAILLE


def _picture(drawn: Picture, width: int, *, braille: bool) -> list[Text]:
    columns = max(20, width - _LABEL - 3)
    canvas = Canvas(columns, _ROWS, braille=braille)
    for line in drawn.series:
        canvas.line([drawn.place(point) for point in line.points], *_STYLES[line.kind])
    canvas.mark(drawn.place(drawn.incumbent), "I", "bold")
    if drawn.operating is not None:
        canvas.mark(drawn.place(drawn.operating), "●" if braille else "O", "bold red")
    edge, corner = ("│", "└" + "─" * columns) if braille else ("|", "+" + "-" * columns)
    labels = {round((1 - (score - drawn.scores[0]) / (drawn.scores[-1] - drawn.scores[0])) * (_ROWS - 1)): score
              for score in drawn.scores}  # fmt: skip
    made = [Text(f"{'score':>{_LABEL}}", "dim")]
    for number, line in enumerate(canvas.lines()):
        label = f"{labels[number]:.4g}" if number in labels else ""
        made.append(Text.assemble((f"{label:>{_LABEL}} {edge}", "dim"), line))
    made.append(Text(f"{'':>{_LABEL}} {corner}", "dim"))
    end = f"{drawn.most_cost:.0%}"
    middle = "dollars, as a share of always asking the incumbent"
    middle = middle if len(middle) + 8 <= columns else "share of dollars"
    made.append(Text(f"{'':>{_LABEL}}  0%{middle:^{columns - 2 - len(end)}}{end}", "dim"))
    return made


def _legend(drawn: Picture, width: int, *, braille: bool) -> list[Text]:
    """What each mark and line is, in lines that break between two of them."""
    entries = [Text.assemble(("I", "bold"), " the incumbent")]
    if drawn.operating is not None:
        entries.insert(0, Text.assemble(("● " if braille else "O ", "bold red"), "this plan"))
    for line in drawn.series:
        sample = Canvas(_SAMPLE, 1, braille=braille)
        sample.line([(0.0, 0.5), (1.0, 0.5)], *_STYLES[line.kind])
        entries.append(Text.assemble(sample.lines()[0], f" {line.name}"))
    lines = [entries[0]]
    for entry in entries[1:]:
        if len(lines[-1]) + 3 + len(entry) <= width:
            lines[-1] = Text.assemble(lines[-1], "   ", entry)
        else:
            lines.append(entry)
    return lines


def _tasks(plan: Plan) -> Table:
    figures = ("prompts", "score", "after", "saves")
    one = len(plan.rungs) == 2  # then its name need not stand in every row
    goes = f"to {words.clean(plan.rungs[0])}" if one else "goes to"
    made = table("By task, on the prompts kept for the test", "task", "prompts", goes, *figures[1:], right=figures)
    for task in plan.tasks[:_TASKS]:
        made.add_row(
            Text(words.task_name(task)),
            f"{task.rows:,}",
            Text(words.goes_to(task, named=not one), "" if task.served else "dim"),
            f"{task.incumbent_score:.3f}",
            f"{task.score:.3f}",
            words.share(task.saving) if task.served else "",
        )
    rest = plan.tasks[_TASKS:]
    if rest:
        moved = sum(1 for task in rest if task.served)
        rows = sum(task.rows for task in rest)
        made.add_row(Text(f"{len(rest)} more", "dim"), f"{rows:,}", Text(f"{moved} of them move", "dim"))
    return made


def _models(plan: Plan) -> Table:
    figures = ("score", "per 1,000 requests")
    made = table("Models, asked everything", "model", "", *figures, "dollars from", right=figures)
    for item in plan.models:
        role = "incumbent" if item.model == plan.incumbent else "a rung" if item.model in plan.rungs else "not used"
        made.add_row(
            Text(words.clean(item.model)),
            f"{role}, owned" if item.owned else role,
            f"{item.score:.3f}",
            words.dollars(1000 * item.dollars),
            plan.cost_sources.get(item.model, ""),
        )
    return made


def _more(plan: Plan) -> Table:
    figures = ("scored prompts", "would probably save")
    made = table("What more evidence would buy", *figures, right=figures)
    made.add_row(f"{plan.rows:,}, now", words.share(plan.saving) if plan.certified else "nothing")
    for more in plan.more:
        made.add_row(f"{more.rows:,}", words.share(more.saving) if more.saving > 0 else "nothing")
    return made


def _notes(plan: Plan) -> list[str]:
    made: list[str] = []
    if plan.parts:
        made += [words.gate(plan), words.bound(plan)]
    if plan.left_out:
        rows = "; ".join(f"{number:,} {reason}" for reason, number in plan.left_out.items())
        made.append(f"Rows of the file that were not used: {rows}.")
    return [*made, "Nothing has been changed. `--html FILE` writes this as a report, with what it assumes."]
