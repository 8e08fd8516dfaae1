"""`freehold drill`: take a provider away for a while, on purpose, to see what breaks."""

from __future__ import annotations

import getpass
import re
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

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
from freehold.domain.errors import RequestError

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.domain.drills import Drill
    from freehold.store import Store

NANO = 1_000_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600}
_LOOK_SECONDS = 0.5
_Share = click.FloatRange(0.0, 1.0, min_open=True)


def seconds_of(text: str) -> float:
    """Seconds of `90s`, `10m` or `1.5h`.

    Raises:
        RequestError: it is none of these.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh])", text.strip().lower())
    if found is None:
        raise RequestError(f"{text!r} is no length of time.", "For example 90s, 10m or 1h.")
    return float(found.group(1)) * _UNITS[found.group(2)]


@click.group("drill", invoke_without_command=True)
@click.option("--without", multiple=True, help="Upstream, host, provider or terms to do without. May be repeated.")
@click.option("--for", "length", default="10m", show_default=True, help="How long: 90s, 10m, 1h.")
@click.option("--share", type=_Share, default=1.0, show_default=True, help="Share of requests to reroute.")
@click.option("--compare", type=click.FloatRange(0.0, 1.0), default=0.0, show_default=True,
              help="Share of the answers given that the incumbent is asked about too.")  # fmt: skip
@click.option("--task", help="Of one task only (name or id).")
@click.option("--spare", is_flag=True, help="Let requests through that nothing owned can answer, and count them.")
@click.option("--anyway", is_flag=True, help="Drill even if nothing owned could answer anything.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen, from the traffic of as long a time before.")
@click.option("--detach", is_flag=True, help="Begin it and return at once.")
@config_option
@json_option
@click.pass_context
def drill_command(
    context: click.Context,
    without: tuple[str, ...],
    length: str,
    share: float,
    compare: float,
    task: str | None,
    spare: bool,
    anyway: bool,
    dry_run: bool,
    detach: bool,
    config: str | None,
    as_json: bool,
) -> None:
    """Exit drill: for a while, requests for a provider go to what you own; it ends by itself, and its report is kept.

    Answers carry `x-freehold-drill`; callers that send `x-freehold-pin: incumbent` are let through.
    """
    if context.invoked_subcommand is not None:
        context.default_map = {context.invoked_subcommand: {"config": config}}
        return
    if not without:
        raise click.UsageError("Say what to do without: freehold drill --without NAME --for 10m.")
    from freehold.loop.drills import begin_drill

    _, settings = settings_at(config)
    store = open_store(settings)
    seconds, task_id = seconds_of(length), find_task(store, task).task_id if task else ""
    if dry_run:
        _forecast(store, settings, without, seconds, task_id, spare, as_json)
        return
    drill = begin_drill(
        store,
        settings,
        without,
        seconds,
        time.time_ns(),
        share=share,
        compare=compare,
        spare=spare,
        task=task_id,
        started_by=f"{getpass.getuser()}@{socket.gethostname()}",
        anyway=anyway,
    )
    if detach:
        if as_json:
            echo_json(drill)
        else:
            click.echo(f"{_begun(drill)} `freehold drill stop` ends it before.")
        return
    _show(_wait(store, settings, drill, quiet=as_json), as_json)


@drill_command.command("stop")
@config_option
@json_option
def stop_command(config: str | None, as_json: bool) -> None:
    """End the drill that is running; every worker follows within two seconds."""
    from freehold.loop.drills import stop_drill

    _, settings = settings_at(config)
    drill = stop_drill(open_store(settings), time.time_ns())
    if as_json:
        echo_json(drill)
    else:
        click.echo(f"{drill.drill_id} is over. In a few seconds `freehold drill show {drill.drill_id}` has its report.")


@drill_command.command("status")
@config_option
@json_option
def status_command(config: str | None, as_json: bool) -> None:
    """Say whether a drill is running, and what it shows so far."""
    _, settings = settings_at(config)
    store = open_store(settings)
    now = time.time_ns()
    drill = store.control.drill_in_force(now)
    if drill is None:
        if as_json:
            echo_json({"running": None})
        else:
            click.echo("No exit drill is running.")
        return
    drill = _so_far(store, settings, drill, now)
    if as_json:
        echo_json({"running": drill})
    else:
        click.echo(_begun(drill))
        _show(drill, as_json)


@drill_command.command("list")
@config_option
@json_option
def list_command(config: str | None, as_json: bool) -> None:
    """List all drills, newest first."""
    store, _ = _settled(config)
    drills = store.control.drills.list(newest_first=True)
    if as_json:
        echo_json(drills)
        return
    if not drills:
        click.echo("There was no exit drill yet: `freehold drill --without NAME --dry-run` says what one would show.")
        return
    made = table("Exit drills", "drill", "since", "without", "state", "requests", "answered", right=("requests",))
    for drill in drills:
        report = drill.report
        made.add_row(
            drill.drill_id,
            when(drill.since_ns),
            ", ".join(drill.upstreams),
            drill.state,
            str(report.drilled) if report else "–",
            f"{report.kept / report.drilled:.0%}" if report and report.drilled else "–",
        )
    console().print(made)


@drill_command.command("show")
@click.argument("drill", default="last")
@config_option
@json_option
def show_command(drill: str, config: str | None, as_json: bool) -> None:
    """Show the report of DRILL (an id, its number, or `last`)."""
    from freehold.loop.drills import find_drill

    store, settings = _settled(config)
    found = find_drill(store, drill)
    now = time.time_ns()
    _show(found if found.report is not None else _so_far(store, settings, found, now), as_json)


def _settled(config: str | None) -> tuple[Store, Settings]:
    """The store, with reports made that were due: whoever began a drill may have died."""
    from freehold.loop.drills import settle_drills

    _, settings = settings_at(config)
    store = open_store(settings)
    settle_drills(store, settings, time.time_ns())
    return store, settings


def _so_far(store: Store, settings: Settings, drill: Drill, now_ns: int) -> Drill:
    """A drill with what it shows until now; nothing is stored."""
    import msgspec

    from freehold.monitor.drill_report import report
    from freehold.record.derive import Deriver

    until = min(now_ns, drill.until_ns)
    shown = report(store, settings, msgspec.structs.replace(drill, until_ns=until), derive=Deriver(settings.upstreams))
    return msgspec.structs.replace(drill, report=shown)


def _wait(store: Store, settings: Settings, drill: Drill, *, quiet: bool) -> Drill:
    """Until the drill is over and reported; a signal ends it before its time."""
    from freehold.loop.drills import find_drill, settle_drills, stop_drill

    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if not quiet:
        click.echo(f"{_begun(drill)} Ctrl-C ends it before.", err=not sys.stdout.isatty())
    while (running := store.control.drill_in_force(time.time_ns())) is not None:
        if running.drill_id != drill.drill_id:
            break
        if stop.wait(_LOOK_SECONDS):
            stop_drill(store, time.time_ns())
    for number, handler in before.items():
        signal.signal(number, handler)
    pause = threading.Event()
    while True:
        settle_drills(store, settings, time.time_ns())
        found = find_drill(store, drill.drill_id)
        if found.report is not None:
            return found
        pause.wait(_LOOK_SECONDS)


def _forecast(
    store: Store, settings: Settings, without: tuple[str, ...], seconds: float, task: str, spare: bool, as_json: bool
) -> None:
    from freehold.domain.drills import Drill
    from freehold.loop.drill_forecast import forecast
    from freehold.loop.drills import upstreams_of

    now = time.time_ns()
    drill = Drill(
        drill_id="forecast",
        without=without,
        upstreams=upstreams_of(settings.upstreams, without),
        task=task,
        spare=spare,
        since_ns=now,
        until_ns=now + int(seconds * NANO),
        wanted_seconds=seconds,
        created_ns=now,
        updated_ns=now,
    )
    made = forecast(store, settings, drill, now - int(seconds * NANO))
    if as_json:
        echo_json({"upstreams": drill.upstreams, "forecast": made})
        return
    from freehold.cli.drill_view import show_report

    show_report(made, f"Without {', '.join(drill.upstreams)}, as in the last {seconds:.0f} s")


def _begun(drill: Drill) -> str:
    names, until = ", ".join(drill.upstreams), when(drill.until_ns)
    return f"{drill.drill_id}: {names} cut for {drill.share:.0%} of requests until {until}."


def _show(drill: Drill, as_json: bool) -> None:
    if as_json:
        echo_json(drill)
        return
    from freehold.cli.drill_view import show_report

    assert drill.report is not None
    title = f"{drill.drill_id}: {drill.report.seconds:.0f} s without {', '.join(drill.upstreams)} ({drill.state})"
    show_report(drill.report, title)
