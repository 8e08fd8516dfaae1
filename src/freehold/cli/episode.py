"""`freehold episode list`, `show`, `export`: agents' runs."""

from __future__ import annotations

import time

import click

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table, when
from freehold.cli.episode_export import export_command
from freehold.domain.errors import RequestError

HOUR = 3600 * 1_000_000_000


@click.group("episode")
def episode_command() -> None:
    """List, show and export agents' runs: all requests of one run, as a tree of its agents."""


episode_command.add_command(export_command)


@episode_command.command("list")
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=24.0, show_default=True, help="How far back.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=30, show_default=True, help="How many.")
@click.option(
    "--named", is_flag=True, help="Only those that callers named; the others are looked for, which takes time."
)
@config_option
@json_option
def list_command(hours: float, limit: int, named: bool, config: str | None, as_json: bool) -> None:
    """List episodes with a request in the last HOURS, the last to begin first."""
    from freehold.cli.episode_view import clean, lasted
    from freehold.ledger import dollars
    from freehold.record.derive import Deriver
    from freehold.record.episodes.read import list_episodes

    _, settings = settings_at(config)
    now = time.time_ns()
    found = list_episodes(
        open_store(settings),
        since_ns=now - int(hours * HOUR),
        until_ns=now,
        derive=Deriver(settings.upstreams),
        infer=not named,
    )[:limit]
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo(
            "No episodes: agents name their run with x-freehold-episode, or by a base URL /r/RUN/AGENT/PARENT/v1."
        )
        return
    keyed = any(line.key for line in found)  # a column for what is the same in all rows leaves the others no room
    figures = ("agents", "steps", "tokens", "cost", "over")
    made = table("Episodes", "episode", *(["key"] if keyed else []), "began", *figures, right=figures)
    for line in found:
        made.add_row(
            clean(line.episode_id),
            *([clean(line.key or "–")] if keyed else []),
            when(line.first_ns),
            f"{line.agents:,}",
            f"{line.steps:,}" + (f" ({line.failed:,} failed)" if line.failed else ""),
            f"{line.input_tokens + line.output_tokens:,}",
            dollars(line.cost_nanousd),
            lasted(line.last_ns - line.first_ns),
        )
    console().print(made, markup=False)


@episode_command.command("show")
@click.argument("episode")
@click.option("--key", help="Whose: the id of a virtual key, or '' for traffic without one.")
@click.option("--all", "whole", is_flag=True, help="Every agent and step, however many.")
@config_option
@json_option
def show_command(episode: str, key: str | None, whole: bool, config: str | None, as_json: bool) -> None:
    """Show EPISODE as a tree: who answered each step, for how much, and who started whom."""
    from freehold.cli.episode_view import view
    from freehold.record.derive import Deriver
    from freehold.record.episodes.read import read_episode

    if not episode.strip():
        raise RequestError("No episode was named.", "`freehold episode list` shows those there are.")
    _, settings = settings_at(config)
    found = read_episode(open_store(settings), episode, derive=Deriver(settings.upstreams), key=key)
    if as_json:
        echo_json(found)
        return
    console().print(view(found, whole=whole))
