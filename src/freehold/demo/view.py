"""The demo on a terminal: what moves, while it moves, and the table at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from freehold.demo.plays import CLASSICAL, Play
from freehold.demo.result import LATELY, Figures, Tally, TaskFigures
from freehold.domain.errors import StoreError
from freehold.domain.events import Event, EventKind
from freehold.domain.tasks import Task

if TYPE_CHECKING:
    from rich.console import RenderableType

    from freehold.store import Store

_NEWS: dict[EventKind, tuple[str, str]] = {
    "form-recognised": ("recognised", "dim"),
    "certified": ("certified", "cyan"),
    "not-certified": ("not certified", "yellow"),
    "promoted": ("promoted", "bold green"),
    "drift-suspected": ("drift", "yellow"),
    "rolled-back": ("rolled back", "bold red"),
    "rights-blocked": ("blocked", "red"),
    "job-failed": ("failed", "red"),
}
"""Which events are shown, as what, in which colour."""
_COLUMNS = {
    "owned_share": "owned",
    "owned_lately": "now",
    "right_lately": "right now",
    "state": "state",
    "epsilon": "ε",
    "loss_upper": "loss ≤",
    "true_loss": "true loss",
    "student_ms": "answers in",
}
_MEANINGS = {
    "epsilon": "ε is the loss that is allowed.",
    "loss_upper": "loss ≤ is what the last certificate bounds: how much worse the student is than the incumbent, with "
    "95% confidence.",
    "true_loss": "true loss is how often owned answers were wrong by the grammar's truth, which the loop never sees.",
    "owned_lately": f"now and right now are of the last {LATELY} requests: how many students answered, and how many "
    "answers, whoever gave them, were right by the grammar's truth, which the loop never sees.",
    "student_ms": "answers in is the median wait for a student's answer.",
}
_LINES = 10
"""As many lines of news, always: the picture stands still."""
_BAR = 24
_REFRESH_SECONDS = 0.5
_COLOURS = {"owned": "bold green", "rolled_back": "bold red", "unscorable": "dim"}


class View:
    """Draws the counts and the last events; reads the store at most twice a second."""

    def __init__(self, store: Store, total: int, address: str, play: Play = CLASSICAL) -> None:
        self._store = store
        self._play = play
        self._total = total
        self._address = address
        self._read_at = 0.0
        self._tasks: dict[str, Task] = {}
        self._events: list[Event] = []
        self._started_ns = time.time_ns()
        self._changed_ns: int | None = None

    def draw(self, tally: Tally) -> RenderableType:
        """The picture of this moment."""
        self._refresh()
        if tally.drift_at is not None and self._changed_ns is None:
            self._changed_ns = time.time_ns()
        sent = tally.requests.total()
        head = Text.assemble(
            ("Freehold demo", "bold"),
            f"  {self._seconds(time.time_ns()):3.0f} s   {sent:6,} requests   ",
            (f"{tally.owned_share:4.0%} owned so far", "bold green"),
        )
        where = Text(f"Dashboard: {self._address}/", "dim")
        bar = ProgressBar(total=self._total, completed=sent, width=78)
        return Group(head, where, bar, self._table(tally), self._news(tally))

    def _seconds(self, at_ns: int) -> float:
        return (at_ns - self._started_ns) / 1e9

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < _REFRESH_SECONDS:
            return
        self._read_at = time.monotonic()
        try:
            self._tasks = {task.task_id: task for task in self._store.control.tasks.list()}
            self._events = [event for event in self._store.control.events(200) if event.kind in _NEWS]
        except StoreError:
            return  # the picture of half a second ago will do

    def _table(self, tally: Tally) -> Table:
        made = Table(box=box.SIMPLE_HEAD, header_style="dim")
        for column, width in (("task", 18), ("requests", 8), ("owned now", _BAR + 5), ("state", 12)):
            made.add_column(column, min_width=width, justify="right" if column == "requests" else "left", no_wrap=True)
        for name, title in self._play.titles.items():
            task = self._tasks.get(tally.task_ids.get(name, ""))
            state = task.state if task else "observing"
            colour = _COLOURS.get(state, "yellow")
            share = tally.owned_lately(name)
            done = round(share * _BAR)
            bar = Text.assemble(("━" * done, colour), ("╌" * (_BAR - done), "bright_black"), f" {share:4.0%}")
            made.add_row(title, f"{tally.requests[name]:,}", bar, Text(state.replace("_", " "), colour))
        return made

    def _news(self, tally: Tally) -> Table:
        """The last events, oldest first, a line each; the change of the traffic stands among them."""
        titles = {task_id: self._play.titles[name] for name, task_id in tally.task_ids.items()}
        lines = [(event.at_ns, *_NEWS[event.kind], self._said(event, titles)) for event in self._events]
        if self._changed_ns is not None:
            lines.append((self._changed_ns, "change", "bold black on yellow", change(self._play)))
        made = Table.grid(padding=(0, 1), expand=True)
        made.add_column(justify="right", style="dim", min_width=5, no_wrap=True)
        made.add_column(min_width=13, no_wrap=True)
        made.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        shown = sorted(lines)[-_LINES:]
        for at_ns, what, colour, says in shown:
            made.add_row(f"{self._seconds(at_ns):.0f} s", Text(what, colour), Text(says, colour.removeprefix("bold ")))
        for _ in range(_LINES - len(shown)):
            made.add_row("", "", "")
        return made

    def _said(self, event: Event, titles: dict[str, str]) -> str:
        """The event's message, the task called by the demo's short title instead of its discovered name."""
        task = self._tasks.get(event.task)
        said = event.message.removeprefix(f"{task.name}: ") if task else event.message
        return f"{titles.get(event.task, 'a task')}: {said}"


def change(play: Play) -> str:
    """What is said when the traffic changes."""
    return f"{play.titles[play.drift.task]}: the traffic changes now ({play.drift.what})" if play.drift else ""


def final_table(result: Figures, play: Play = CLASSICAL) -> Table:
    """The demo's result for people."""
    made = Table(title="What the demo measured", title_justify="left", header_style="dim", box=box.SIMPLE_HEAD)
    made.padding = (0, 1, 0, 0)  # 80 columns must do
    made.add_column("task", no_wrap=True)
    made.add_column("requests", justify="right")
    for column in play.columns:
        made.add_column(_COLUMNS[column], justify="left" if column == "state" else "right")
    for row in result.tasks:
        cells = [_cell(row, column) for column in play.columns]
        made.add_row(play.titles.get(row.task, row.task), f"{row.requests:,}", *cells)
    return made


def _cell(row: TaskFigures, column: str) -> Text | str:
    value = getattr(row, column)
    if column == "state":
        return Text(value.replace("_", " "), _COLOURS.get(value, "yellow"))
    if value is None:
        return "–"
    if column == "student_ms":
        return f"{value:.0f} ms"
    return f"{value:.1%}" if column in ("epsilon", "loss_upper", "true_loss") else f"{value:.0%}"


def explanation(tally: Tally, play: Play = CLASSICAL) -> str:
    """What the table's figures mean, a sentence or two for each column that needs one."""
    said = [_MEANINGS[column] for column in play.columns if column in _MEANINGS]
    if not play.drift:
        return "\n".join(said)
    title = play.titles[play.drift.task]
    if tally.drift_at is None:
        said.append(
            f"The traffic of “{title}” did not change this time: its student came too late to be put to "
            "the test (the machine was busy, or it was not certified)."
        )
    else:
        said.append(
            f"From request {tally.drift_at:,} on the traffic of “{title}” was another than its student "
            "was certified on; its true loss counts what was answered before the audits noticed."
        )
    return "\n".join(said)
