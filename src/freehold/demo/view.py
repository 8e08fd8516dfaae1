"""The demo on a terminal: what moves, while it moves, and the table at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from freehold.demo.play import DRIFT_TASK
from freehold.demo.result import Figures, Tally
from freehold.domain.errors import StoreError
from freehold.domain.events import Event, EventKind
from freehold.domain.tasks import Task

if TYPE_CHECKING:
    from rich.console import RenderableType

    from freehold.store import Store

TITLES = {
    "triage": "intents, 24 labels",
    "urgency": "urgency, yes or no",
    "extraction": "closed JSON fields",
    "reply": "free-text replies",
}
CHANGE = f"{TITLES[DRIFT_TASK]}: the traffic changes now (a strike makes harmless questions urgent)"
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
_LINES = 10
"""As many lines of news, always: the picture stands still."""
_BAR = 24
_REFRESH_SECONDS = 0.5
_COLOURS = {"owned": "bold green", "rolled_back": "bold red", "unscorable": "dim"}


class View:
    """Draws the counts and the last events; reads the store at most twice a second."""

    def __init__(self, store: Store, total: int, address: str) -> None:
        self._store = store
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
        for name, title in TITLES.items():
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
        titles = {task_id: TITLES[name] for name, task_id in tally.task_ids.items()}
        lines = [(event.at_ns, *_NEWS[event.kind], self._said(event, titles)) for event in self._events]
        if self._changed_ns is not None:
            lines.append((self._changed_ns, "change", "bold black on yellow", CHANGE))
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


def final_table(result: Figures) -> Table:
    """The demo's result for people."""
    made = Table(title="What the demo measured", title_justify="left", header_style="dim", box=box.SIMPLE_HEAD)
    made.padding = (0, 1, 0, 0)  # 80 columns must do
    made.add_column("task", no_wrap=True)
    for column in ("requests", "owned", "state", "ε", "loss ≤", "true loss"):
        made.add_column(column, justify="left" if column == "state" else "right")
    for row in result.tasks:
        made.add_row(
            TITLES.get(row.task, row.task),
            f"{row.requests:,}",
            f"{row.owned_share:.0%}",
            Text(row.state.replace("_", " "), _COLOURS.get(row.state, "yellow")),
            _percent(row.epsilon),
            _percent(row.loss_upper),
            _percent(row.true_loss),
        )
    return made


def explanation(tally: Tally) -> str:
    """What the table's figures mean, in a few sentences."""
    if tally.drift_at is None:
        change = (
            f"The traffic of “{TITLES[DRIFT_TASK]}” did not change this time: its student came too late to be put to "
            "the test (the machine was busy, or it was not certified)."
        )
    else:
        change = (
            f"From request {tally.drift_at:,} on the traffic of “{TITLES[DRIFT_TASK]}” was another than its student "
            "was certified on; its true loss counts what was answered before the audits noticed."
        )
    return (
        "ε is the loss that is allowed. loss ≤ is what the last certificate bounds: how often the student differs from "
        "the incumbent, with 95% confidence.\n"
        "true loss is how often owned answers were wrong by the grammar's own truth, which the loop never sees.\n"
        f"{change}"
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
