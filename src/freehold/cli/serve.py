"""`freehold up`, `serve` and `loop`: the processes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from freehold.cli.common import (
    config_option,
    echo_json,
    end_in_order,
    end_with_parent,
    json_option,
    open_store,
    settings_at,
)
from freehold.config import Settings, configure_logs
from freehold.domain.errors import StoreError
from freehold.runners import end_process

if TYPE_CHECKING:
    from freehold.gateway.http.asgi import ASGIApp
    from freehold.store import Store

_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_log_level = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="How much to log.",
)
_workers = click.option(
    "--workers", type=click.IntRange(1), help="Gateway processes [default: from the configuration]."
)


def dashboard_of(settings: Settings) -> ASGIApp:
    """The dashboard for one gateway worker."""
    from freehold.dashboard import create_dashboard

    return create_dashboard(settings)


@click.command("up")
@config_option
@_workers
@json_option
@_log_level
def up_command(config: str | None, workers: int | None, as_json: bool, log_level: str) -> None:
    """Run everything on this machine: the gateway, the loop beside it, and the dashboard at /.

    Where generative students are in force, the server that they answer in runs beside them, too.
    """
    from freehold.gateway import serve

    path, settings = settings_at(config)
    configure_logs(log_level)
    end_in_order()
    students = _students_beside(settings, path, log_level)
    with _beside("loop", ["loop", *_options(path, log_level)]), students:
        serve(path, workers=workers, fallback_factory=dashboard_of, on_listening=_say(as_json), log_level=log_level)


@click.command("serve")
@config_option
@_workers
@json_option
@_log_level
def serve_command(config: str | None, workers: int | None, as_json: bool, log_level: str) -> None:
    """Run the gateway only: it passes through, records, and follows the policy in force.

    A changed configuration file is in force within two seconds, without a connection dropped; SIGHUP makes it so at
    once. A file that cannot be used changes nothing.
    """
    from freehold.gateway import serve

    path, _ = settings_at(config)
    configure_logs(log_level)
    end_in_order()
    serve(path, workers=workers, on_listening=_say(as_json), log_level=log_level)


@click.command("loop")
@config_option
@click.option("--once", is_flag=True, help="Work until nothing is due, then end.")
@click.option("--with-parent", is_flag=True, hidden=True, help="End when standard input closes.")
@json_option
@_log_level
def loop_command(config: str | None, once: bool, with_parent: bool, as_json: bool, log_level: str) -> None:
    """Run the loop: seal, find tasks, train, certify, promote, watch audits, roll back.

    A changed configuration file is in force from the next turn but one.
    """
    if as_json and not once:
        raise click.UsageError("--json goes with --once: a loop without end has no result to print.")
    path, settings = settings_at(config)
    configure_logs(log_level)
    if once:
        _loop_once(settings, as_json)
        return
    from freehold.loop import run_loop

    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if sys.stdin is None or not sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison]
        # It looks at its file every turn: there is nothing that it must be told.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if with_parent:
        end_with_parent(stop.set)
    run_loop(settings, path, stop, log_level=log_level)


def _loop_once(settings: Settings, as_json: bool) -> None:
    from freehold.loop import Loop
    from freehold.store.locks import exclusive

    store = open_store(settings)
    with exclusive(settings.data / "loop.lock"):
        jobs = Loop(store, settings).until_idle()
    tasks = store.control.tasks.list()
    owned = [task.name for task in tasks if task.state == "owned"]
    if as_json:
        echo_json({"jobs": jobs, "tasks": len(tasks), "owned": owned})
    else:
        click.echo(f"{jobs} job(s) done; {len(tasks)} task(s), {len(owned)} owned. See `freehold tasks`.")


def _options(config: Path, log_level: str) -> list[str]:
    return ["--with-parent", "--config", str(config), "--log-level", log_level]


def _students_beside(settings: Settings, config: Path, log_level: str) -> contextlib.AbstractContextManager[None]:
    """The students' server, from when there are some; nothing where somebody else runs one."""
    if settings.students.server.url or not settings.students.recipe:
        return contextlib.nullcontext()

    def wanted(stop: threading.Event) -> None:
        store = open_store(settings)
        try:
            while not _has_generative(store) and not stop.wait(_LOOK_SECONDS):
                pass
        finally:
            store.close()

    return _beside("student server", ["student", "serve", *_options(config, log_level)], wanted)


def _has_generative(store: Store) -> bool:
    try:
        tasks = store.control.current_policy().tasks.values()
    except StoreError:
        return False  # it will be there again; traffic flows meanwhile
    return any(rung.kind == "generative" for task in tasks for rung in task.rungs)


@contextlib.contextmanager
def _beside(
    what: str, command: list[str], wanted: Callable[[threading.Event], None] | None = None
) -> Generator[None, None, None]:
    """A freehold command as a child process: if it dies, traffic still flows, and it is started again.

    `wanted` waits until it is to be started at all, or the event is set.
    """
    stop = threading.Event()
    keeper = threading.Thread(target=_keep, args=(what, command, wanted, stop), name=f"{what} keeper", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join(_GRACE_SECONDS + 5)


def _keep(
    what: str, arguments: list[str], wanted: Callable[[threading.Event], None] | None, stop: threading.Event
) -> None:
    command = [sys.executable, "-m", "freehold.cli.main", *arguments]
    pause = 1.0
    if wanted is not None:
        wanted(stop)
    while not stop.is_set():
        child = subprocess.Popen(command, stdin=subprocess.PIPE)
        while child.poll() is None and not stop.wait(0.2):
            pass
        if stop.is_set():
            end_process(child, _GRACE_SECONDS)
            return
        click.echo(f"The {what} ended with exit code {child.returncode}; traffic flows, starting it again.", err=True)
        stop.wait(pause)
        pause = min(60.0, pause * 2)


def _say(as_json: bool) -> Callable[[str], None]:
    def say(url: str) -> None:
        if as_json:
            echo_json({"url": url, "base_url": f"{url}/v1"})
        else:
            click.echo(f"Freehold listens at {url}: point your client's base_url at {url}/v1")

    return say
