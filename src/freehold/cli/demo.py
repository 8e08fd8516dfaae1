"""`freehold demo`: the whole loop on a support desk's traffic, without key, network or GPU."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freehold.cli.common import console, echo_json, end_in_order, json_option
from freehold.config import configure_logs, load_settings
from freehold.domain.errors import FreeholdError

if TYPE_CHECKING:
    from freehold.demo.play import Traffic
    from freehold.demo.result import Figures, Tally
    from freehold.demo.view import View
    from freehold.store import Store

_SETTLE_SECONDS = 6.0


@click.command("demo")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the traffic.")
@click.option("--requests", type=click.IntRange(200), help="How many to play.  [default: 12000; generative: 13000]")
@click.option("--seconds", type=click.FloatRange(5.0), help="Over which time.  [default: 62; generative: 340]")
@click.option("--generative", is_flag=True, help="Train small language models for open answers; needs freehold[train].")
@click.option("--keep", is_flag=True, help="Go on serving the dashboard at the end, until Enter or Ctrl-C.")
@json_option
def demo_command(
    seed: int, requests: int | None, seconds: float | None, generative: bool, keep: bool, as_json: bool
) -> None:
    """Play a support desk's traffic through the real gateway and loop, in a temporary folder.

    The incumbent is a stand-in that replays our own grammar's answers, wrong in 2% of cases, at a frontier model's
    price. Half-way the traffic of one task drifts, so that its student decays and is rolled back.

    With --generative the tasks have open answers (a form whose fields are copied from a complaint, SQL for an analyst's
    question), and their students are language models made from the recorded traffic during the demo.
    """
    from freehold.demo.play import Traffic, require
    from freehold.demo.plays import CLASSICAL, GENERATIVE

    configure_logs("error")
    end_in_order()
    started = time.monotonic()
    play = GENERATIVE if generative else CLASSICAL
    require(play)
    played = Traffic(seed, requests or play.requests, play)
    with tempfile.TemporaryDirectory(prefix="freehold-demo-") as folder:
        result = _run(Path(folder), played, seconds or play.seconds, started, live=not as_json, keep=keep)
    if as_json:
        from freehold.demo.result import as_document

        echo_json(as_document(result))


def _run(folder: Path, played: Traffic, seconds: float, started: float, *, live: bool, keep: bool) -> Figures:
    from freehold.demo.play import Player, freehold_up, stand_in, write_config
    from freehold.demo.result import figures
    from freehold.demo.view import View, explanation, final_table
    from freehold.record.opening import open_store
    from freehold.upstreams.recorded import serve_in_thread

    with serve_in_thread(stand_in(played)) as incumbent:
        config = write_config(folder, incumbent.base_url, played.play)
        settings = load_settings(config)
        store = open_store(settings)
        with freehold_up(config) as url:
            view = View(store, len(played), url, played.play)
            tally = (
                _play_live(view, played, url, seconds)
                if live
                else asyncio.run(Player(url, played, seconds, lambda _: None).play())
            )
            saved = _settled_saving(store, tally)
            result = figures(tally, store, saved, time.monotonic() - started)
            if tally.failed:
                raise FreeholdError(f"{tally.failed} of the demo's requests failed.", f"See {folder}/freehold.log.")
            if live:
                console().print(final_table(result, played.play))
                console().print(explanation(tally, played.play) + "\n", highlight=False)
                from freehold.ledger import dollars

                click.echo(
                    f"{result.requests:,} requests in {result.seconds:.0f} s, {result.owned_share:.0%} owned, "
                    f"{dollars(saved)} saved net of audits (at the stand-in's price).\nDashboard: {url}/"
                )
                _linger(keep)
    return result


def _play_live(view: View, played: Traffic, url: str, seconds: float) -> Tally:
    from rich.live import Live

    from freehold.demo.play import Player

    screen = console()
    if not screen.is_terminal:
        click.echo(f"Playing {len(played):,} requests over {seconds:.0f} s. Dashboard: {url}/", err=True)
        return asyncio.run(Player(url, played, seconds, lambda _: None).play())
    with Live(console=screen, refresh_per_second=8, transient=True) as live:
        return asyncio.run(Player(url, played, seconds, lambda tally: live.update(view.draw(tally))).play())


def _settled_saving(store: Store, tally: Tally) -> int:
    """Net saving in nano-dollars, once the running loop has sealed every request (or after a few seconds)."""
    from freehold.ledger import ledger

    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        accounts = ledger(store)
        if accounts.total.requests >= tally.requests.total() or time.monotonic() > deadline:
            return accounts.total.saved.total
        _pause()


def _pause() -> None:
    import threading

    threading.Event().wait(0.25)


def _linger(keep: bool) -> None:
    if keep or (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo("The dashboard stays up until you press Enter.")
        sys.stdin.readline()
