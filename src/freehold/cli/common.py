"""What commands share: options, opening the store, printing for people or for scripts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from freehold.config import Settings, find_config, load_settings
from freehold.domain.errors import NotFound, RequestError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from freehold.domain.tasks import Task
    from freehold.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """`--config FILE`."""
    return click.option(
        "--config", "config", metavar="FILE", help="Configuration file [default: $FREEHOLD_CONFIG or freehold.toml]."
    )(command)


def json_option(command: Command) -> Command:
    """`--json`: one JSON document on standard output instead of tables."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


def settings_at(config: str | None) -> tuple[Path, Settings]:
    """The configuration file and what it says.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    path = find_config(config)
    return path, load_settings(path)


def open_store(settings: Settings) -> Store:
    """The store below the data folder.

    Raises:
        StoreError: it cannot be opened.
    """
    from freehold.record.opening import open_store as opened

    return opened(settings)


def find_task(store: Store, wanted: str) -> Task:
    """The task with this id, this name, or an id that begins so.

    Raises:
        NotFound: none, or several (the message names them).
    """
    tasks = store.control.tasks.list()
    exact = [task for task in tasks if wanted in (task.task_id, task.name)]
    found = exact or [task for task in tasks if task.task_id.removeprefix("task_").startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(task.task_id for task in found)
        raise NotFound(f"{wanted!r} could be any of {names}.", "Give the whole id.")
    raise NotFound(f"There is no task {wanted!r}.", "`freehold tasks` lists them.")


def task_names(store: Store) -> dict[str, str]:
    """Task id → what people call it."""
    return {task.task_id: task.name for task in store.control.tasks.list()}


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP end this process by way of every `finally`: children end, temporary folders go.

    uvicorn raises the signal again once it has drained, and the default would then be to die on the spot.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def console() -> Console:
    """A console on standard output; $COLUMNS bounds its width."""
    from rich.console import Console

    return Console(width=int(os.environ["COLUMNS"]) if os.environ.get("COLUMNS", "").isdigit() else None)


def table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table; `right`: the columns that hold figures."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="dim")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def echo_json(value: Any) -> None:
    """Print a value (structs included) as one line of JSON."""
    click.echo(msgspec.json.encode(value).decode())


def when(at_ns: int) -> str:
    """Local time of a Unix time in nanoseconds, to the second."""
    import datetime

    return datetime.datetime.fromtimestamp(at_ns / 1e9).strftime("%Y-%m-%d %H:%M:%S")


def day_ns(text: str) -> int:
    """When a day (YYYY-MM-DD, UTC) begins, in unix nanoseconds.

    Raises:
        RequestError: it is no day.
    """
    import datetime

    try:
        day = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise RequestError(f"{text!r} is not a day.", "Write it as 2026-01-31.") from error
    return int(day.timestamp()) * 1_000_000_000


def end_with_parent(end: Callable[[], object]) -> None:
    """Call `end` when the parent ends: it holds the other end of standard input, which closes however the parent dies,
    `kill -9` included."""

    def wait() -> None:
        while os.read(0, 4096):  # not by `sys.stdin`, whose lock would be held when the interpreter ends
            pass
        end()

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
