"""The demo on a terminal: what moves, while it moves, and the table at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from freehold.demo.result import Figures, Tally
from freehold.domain.errors import StoreError
from freehold.domain.events import Event
from freehold.domain.tasks import Task

if TYPE_CHECKING:
    from rich.console import RenderableType

    from freehold.store import Store

TITLES = {
    "triage": "intent triage, 24 labels",
    "urgency": "urgency, yes or no",
    "extraction": "fields as closed JSON",
    "reply": "free-text replies",
}
_SHOWN = ("form-recognised", "certified", "not-certified", "promoted", "rolled-back", "job-failed")
_REFRESH_SECONDS = 0.5
_COLOURS = {"owned": "green", "rolled_back": "red", "unscorable": "dim"}


class View:
    """Draws the counts and the last events; reads the store at most twice a second."""

    def __init__(self, store: Store, total: int, address: str) -> None:
        self._store = store
        self._total = total
        self._address = address
        self._read_at = 0.0
        self._tasks: dict[str, Task] = {}
        self._events: list[Event] = []
        self._started = time.monotonic()

    def draw(self, tally: Tally) -> RenderableType:
        """The picture of this moment."""
        self._refresh()
        sent = tally.requests.total()
        head = Text.assemble(
            ("Freehold demo", "bold"),
            f"  {time.monotonic() - self._started:4.0f} s   {sent:,} requests   ",
            (f"{tally.owned_share:.0%} owned", "bold green"),
            f"   dashboard {self._address}/",
        )
        return Group(
            head, ProgressBar(total=self._total, completed=sent, width=72), self._table(tally), self._news(tally)
        )

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < _REFRESH_SECONDS:
            return
        self._read_at = time.monotonic()
        try:
            self._tasks = {task.task_id: task for task in self._store.control.tasks.list()}
            self._events = [event for event in self._store.control.events(200) if event.kind in _SHOWN][:8]
        except StoreError:
            return  # the picture of half a second ago will do

    def _table(self, tally: Tally) -> Table:
        made = Table(box=box.SIMPLE_HEAD, header_style="dim")
        made.add_column("task")
        made.add_column("requests", justify="right")
        made.add_column("owned", justify="right")
        made.add_column("state")
        for name, title in TITLES.items():
            task = self._tasks.get(tally.task_ids.get(name, ""))
            state = task.state if task else "observing"
            share = tally.owned[name] / max(1, tally.requests[name])
            colour = _COLOURS.get(state, "yellow")
            made.add_row(title, f"{tally.requests[name]:,}", f"{share:.0%}", Text(state.replace("_", " "), colour))
        return made

    def _news(self, tally: Tally) -> Text:
        text = Text()
        names = {task_id: name for name, task_id in tally.task_ids.items()}
        for event in reversed(self._events):
            colour = {"promoted": "green", "rolled-back": "red"}.get(event.kind, "")
            text.append(f"{event.kind:15} ", colour or "dim")
            text.append(f"{names.get(event.task, ''):11}", "bold")
            text.append(event.message[:150] + "\n")
        return text


def final_table(result: Figures) -> Table:
    """The demo's result for people."""
    made = Table(box=box.SIMPLE_HEAD, header_style="dim", title_justify="left", title="What the demo measured")
    made.add_column("task")
    for column in ("requests", "owned", "state", "allowed loss ε", "certified ≤", "true loss"):
        made.add_column(column, justify="left" if column == "state" else "right")
    for row in result.tasks:
        made.add_row(
            TITLES.get(row.task, row.task),
            f"{row.requests:,}",
            f"{row.owned_share:.0%}",
            row.state.replace("_", " "),
            _percent(row.epsilon),
            _percent(row.loss_upper),
            _percent(row.true_loss),
        )
    return made


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
