"""`freehold episode export`: agent runs as training trajectories, ATIF or OpenTelemetry."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from freehold.cli.common import config_option, day_ns, echo_json, find_task, json_option, open_store, settings_at
from freehold.cli.episode_files import Exporter, Form, Report, whole_file
from freehold.domain.errors import NotFound, RequestError, RightsError

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.curate.trajectories import Rights
    from freehold.domain.episodes import Episode, Turn
    from freehold.store import Store
    from freehold.store.traces.read import Derive

REFUSED_SHOWN = 10


class Wanted(msgspec.Struct, frozen=True, order=True):
    """An episode to export."""

    first_ns: int
    episode_id: str
    key: str
    """Empty: traffic without a virtual key."""
    named: bool
    """By its callers."""


@click.command("export")
@click.argument("episodes", nargs=-1, metavar="[EPISODE]…")
@click.option("--format", "form", type=click.Choice(get_args(Form)), default="chat", show_default=True, help="Of what.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option("--task", help="Episodes with a request of this task (name or id).")
@click.option("--since", metavar="DATE", help="Episodes with a request on this day or later (YYYY-MM-DD, UTC).")
@click.option("--until", metavar="DATE", help="Episodes with a request before this day.")
@click.option("--key", help="Whose: the id of a virtual key, or '' for traffic without one.")
@click.option("--inferred", is_flag=True, help="Also runs that nobody named, found from their messages.")
@click.option("--max-rows-per-run", type=click.IntRange(1), help="At most so many rows of one run  [default: 64].")
@click.option("--min-score", type=click.FloatRange(0, 1), help="Only what was judged, and at least so good.")
@click.option("--redact", is_flag=True, help="Put pseudonyms for personal data and secrets.")
@config_option
@json_option
def export_command(
    episodes: tuple[str, ...], form: Form, out: Path, config: str | None, as_json: bool, **given: Any
) -> None:
    """Write EPISODEs, or those that the options choose, to a file: one JSON document per line.

    chat and sharegpt: one row per conversation of an agent, with loss on what its model wrote; atif: documents of the
    Agent Trajectory Interchange Format 1.7; otlp: OpenTelemetry spans. What rights do not let anybody train on stays
    out of chat, sharegpt and atif, and is named. The same data gives the same bytes.
    """
    from freehold.record.derive import Deriver

    _, settings = settings_at(config)
    store = open_store(settings)
    derive = Deriver(settings.upstreams)
    wanted = _wanted(store, derive, episodes, given)
    exporter = _exporter(settings, store, form, given)
    with whole_file(out, exporter.report) as take, _progress(len(wanted), quiet=as_json) as advance:
        for episode, turns in _read(store, wanted, derive):
            for line in exporter.lines(episode, turns):
                take(line)
            advance()
        _check(exporter.report)
    _show(exporter.report, out, as_json)


def _wanted(store: Store, derive: Derive, episodes: tuple[str, ...], given: Mapping[str, Any]) -> list[Wanted]:
    """The episodes that were asked for, the first to begin first.

    Raises:
        NotFound: none of them is there. RequestError: nothing was asked for.
    """
    from freehold.record.episodes.read import read_episode

    if episodes:
        found = [read_episode(store, name, derive=derive, key=given["key"]) for name in dict.fromkeys(episodes)]
        return sorted(map(_wanted_of, found))
    if given["task"] and given["inferred"]:
        raise RequestError("--task looks at runs that callers named.", "Leave out --task or --inferred.")
    if not any(given[name] for name in ("task", "since", "until", "inferred")) and given["key"] is None:
        raise RequestError("No episode was named.", "Name some, or choose with --task, --since, --until or --key.")
    chosen = _chosen(store, derive, given)
    if not chosen:
        raise NotFound("No episode is like that.", "`freehold episode list` shows those there are.")
    return chosen


def _wanted_of(episode: Episode) -> Wanted:
    first = episode.steps[0]
    return Wanted(first.at_ns, episode.episode_id, episode.key or "", first.linked != "inferred")


def _read(store: Store, wanted: list[Wanted], derive: Derive) -> Iterator[tuple[Episode, dict[str, Turn]]]:
    """Named episodes in batches, the others one by one; in the order of `wanted`."""
    from freehold.record.episodes.many import Named, read_many
    from freehold.record.episodes.read import read_turns

    many = read_many(store, [Named(one.episode_id, one.key) for one in wanted if one.named], derive=derive)
    ready = next(many, None)
    for one in wanted:
        if not one.named:
            yield read_turns(store, one.episode_id, derive=derive, key=one.key)
        elif ready is not None and (ready[0].episode_id, ready[0].key or "") == (one.episode_id, one.key):
            yield ready
            ready = next(many, None)  # an episode that was forgotten meanwhile is passed over


def _chosen(store: Store, derive: Derive, given: Mapping[str, Any]) -> list[Wanted]:
    import time

    from freehold.record.episodes.read import NO_KEY, list_episodes

    since = day_ns(given["since"]) if given["since"] else 0
    until = day_ns(given["until"]) if given["until"] else time.time_ns()
    lines = list_episodes(store, since_ns=since, until_ns=until, derive=derive, infer=given["inferred"])
    found = [Wanted(line.first_ns, line.episode_id, line.key or NO_KEY, "inferred" not in line.how) for line in lines]
    if given["key"] is not None:
        found = [one for one in found if one.key == given["key"]]
    if given["task"]:
        of_task = _of_task(store, derive, find_task(store, given["task"]).task_id, since, until)
        found = [one for one in found if (one.episode_id, one.key) in of_task]
    return sorted(found)


def _of_task(store: Store, derive: Derive, task: str, since: int, until: int) -> set[tuple[str, str]]:
    from freehold.record.episodes.read import NO_KEY
    from freehold.store.traces.read import read_traces

    columns = ("episode", "key")
    rows = read_traces(
        store, task=task, kinds=("request",), since_ns=since, until_ns=until, columns=columns, derive=derive
    )
    return {(episode, key or NO_KEY) for episode, key in rows.iter_rows() if episode is not None}


def _exporter(settings: Settings, store: Store, form: Form, given: Mapping[str, Any]) -> Exporter:
    from freehold.curate.trajectories import MAX_ROWS_PER_RUN
    from freehold.domain.genai import provider_of

    providers = {name: provider_of(upstream.base_url) for name, upstream in settings.upstreams.items()}
    return Exporter(
        form,
        rights=_rights(settings, store),
        providers={name: provider for name, provider in providers.items() if provider},
        max_rows=given["max_rows_per_run"] or MAX_ROWS_PER_RUN,
        min_score=given["min_score"],
        redact=_redaction(store) if given["redact"] else None,
    )


def _rights(settings: Settings, store: Store) -> Rights:
    from freehold.curate.trajectories import Rights
    from freehold.rights import terms_of_upstreams
    from freehold.store.counsel import decisions, today

    terms = terms_of_upstreams(settings.upstreams)
    return Rights(terms, decisions(store), today(), settings.organisation)


def _redaction(store: Store) -> Callable[[Mapping[str, Turn]], dict[str, Turn]]:
    from freehold.curate.pii import Redactor
    from freehold.curate.pii.pseudonyms import PSEUDONYMS
    from freehold.curate.trajectories.redact import redact_turns

    redactor = Redactor(store.keys.derive(PSEUDONYMS))
    return lambda turns: redact_turns(turns, lambda texts: [one.text for one in redactor.redact_many(texts)])


def _check(report: Report) -> None:
    """Nothing at all because of rights is an error; the file is not written.

    Raises:
        RightsError: every trajectory was refused.
    """
    if report.rows or not report.refused:
        return
    from freehold.cli.episode_view import clean

    first = report.refused[0]
    who = clean(first.answered_by) or "an unknown model"
    raise RightsError(
        f"None of {len(report.refused)} trajectories may be trained on: {who} ({first.terms}) answered "
        f"{first.trace_id}: {first.reason}",
        "Set the upstream's `terms`, or record counsel's decision on `distil` with `freehold rights decide`.",
    )


@contextmanager
def _progress(total: int, *, quiet: bool) -> Generator[Callable[[], None]]:
    """A bar on standard error, where somebody looks."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("episodes", total=total)
        yield lambda: bar.advance(shown)


def _show(report: Report, out: Path, as_json: bool) -> None:
    from freehold.cli.episode_view import clean

    if as_json:
        echo_json({**msgspec.to_builtins(report), "out": str(out)})
        return
    click.echo(f"{report.rows:,} lines of {report.episodes:,} episodes ({report.steps:,} steps) in {out}.")
    if report.form != "otlp":
        click.echo(f"{report.learned:,} answers have loss.")
    if report.capped:
        click.echo(f"{report.capped:,} trajectories are beyond --max-rows-per-run.")
    if report.low_score:
        click.echo(f"{report.low_score:,} trajectories are below --min-score, or nobody judged them.")
    for reason, count in report.left_out.most_common():
        click.echo(f"{count:,} steps have no loss: {reason}.")
    for one in report.refused[:REFUSED_SHOWN]:
        click.echo(
            f"Refused: {clean(one.episode_id)}, agent {clean(one.run)}, trajectory {one.number}: "
            f"{clean(one.answered_by) or 'an unknown model'} ({one.terms}) answered {one.trace_id}: {one.reason}"
        )
    if len(report.refused) > REFUSED_SHOWN:
        click.echo(f"… and {len(report.refused) - REFUSED_SHOWN:,} more; --json names them all.")
