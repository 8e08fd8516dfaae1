"""`freehold scorer`: what good means for a task; guessed with its reason, shown, tried, set."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import click
import msgspec

from freehold.cli.common import (
    config_option,
    console,
    echo_json,
    find_task,
    json_option,
    open_store,
    settings_at,
    table,
)
from freehold.cli.scorer_data import Pair, recorded_answers, recorded_pairs, stand_ins
from freehold.domain.errors import ConfigError, EvidenceError, NotFound, ScorerError
from freehold.domain.scoring import SCORERS, Comparison, JudgeScorer, Scorer, kind_of

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.domain.tasks import Task
    from freehold.scorers import Guess, JudgeAgreement
    from freehold.scorers.agreement import Preference
    from freehold.store import Store

KINDS = {str(kind.__struct_config__.tag): kind for kind in SCORERS}
_EXAMPLES = 5
_SHOWN = 60

option_option = click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the scorer; @FILE reads its value."
)


@click.group("scorer")
def scorer_command() -> None:
    """Say how good an answer of a task is: guess, show, try or set its scorer."""


@scorer_command.command("guess")
@click.argument("task")
@option_option
@config_option
@json_option
def guess_command(task: str, options: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """Guess TASK's scorer from its recorded answers, with the reason and example scores. Changes nothing.

    `--option database=FILE` lets SQL be run, `--option tests=@FILE` lets code be tested.
    """
    settings, store, found = _open(config, task)
    made, answers = _guess(settings, store, found, options)
    pairs = (recorded_pairs(store, settings, found, _EXAMPLES) or stand_ins(answers)) if made.scorer else []
    rows = _scored(made.scorer, pairs[:_EXAMPLES], settings, store, found) if made.scorer else []
    if as_json:
        echo_json({"task": found.task_id, "name": found.name, **_fields(made), "examples": rows})
        return
    click.echo(f"{found.name}: {kind_of(made.scorer) if made.scorer else 'no scorer can be guessed'}\n  {made.reason}")
    for offered in made.offered:
        click.echo(f"  Or {kind_of(offered)}. {offered.reason}".rstrip())
    if made.scorer:
        console().print(_table("Examples", rows))
        options_given = "".join(f" --option {text}" for text in options)
        click.echo(f"`freehold scorer set {found.task_id} guessed{options_given}` uses it.")


@scorer_command.command("show")
@click.argument("task")
@config_option
@json_option
def show_command(task: str, config: str | None, as_json: bool) -> None:
    """Show TASK's scorer with its options, and where it was set."""
    settings, _, found = _open(config, task)
    scorer, source = _current(settings, found)
    if as_json:
        echo_json({"task": found.task_id, "name": found.name, "scorer": scorer, "set_in": source})
        return
    if scorer is None:
        click.echo(f"{found.name}: none. Closed answers are the same or not; `freehold scorer guess` suggests one.")
        return
    made = table(f"{found.name}: {kind_of(scorer)} (set in {source})", "", "")
    for name, value in _fields(scorer).items():
        made.add_row(name, value if isinstance(value, str) else msgspec.json.encode(value).decode())
    console().print(made, markup=False)


@scorer_command.command("set")
@click.argument("task")
@click.argument("kind", type=click.Choice([*KINDS, "guessed", "none"]))
@option_option
@config_option
@json_option
def set_command(task: str, kind: str, options: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """Score TASK's answers with KIND from now on.

    `guessed` takes what `guess` shows, its reason included; `none`: closed answers are the same or not.
    """
    from freehold.scorers import check

    settings, store, found = _open(config, task)
    if settings.task(found.name, found.task_id).scorer is not None:
        raise ConfigError(
            f"The scorer of {found.name!r} is set in the configuration, which goes before what is stored.",
            "Change it there, or remove [tasks.NAME.scorer] first.",
        )
    if kind == "guessed":
        scorer = _guessed(settings, store, found, options)
    else:
        scorer = None if kind == "none" else scorer_from(kind, options)
    if scorer is not None:
        check(scorer)
    stored = store.control.tasks.change(found.task_id, lambda fresh: msgspec.structs.replace(fresh, scorer=scorer))
    if stored is None:
        raise NotFound(f"The task {found.task_id} is gone.", "`freehold tasks` lists those there are.")
    if as_json:
        echo_json({"task": stored.task_id, "name": stored.name, "scorer": stored.scorer})
        return
    click.echo(f"{stored.name}: {kind_of(scorer) if scorer else 'no scorer'}.")


@scorer_command.command("try")
@click.argument("task")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many pairs, newest.")
@config_option
@json_option
def try_command(task: str, limit: int, config: str | None, as_json: bool) -> None:
    """Score recorded answers of TASK beside a second answer (audits and repeats). A judge is asked, and costs."""
    settings, store, found = _open(config, task)
    scorer, _ = _current(settings, found)
    if scorer is None:
        raise ScorerError(f"The task {found.name!r} has no scorer.", "`freehold scorer guess`, then `set`.")
    pairs = recorded_pairs(store, settings, found, limit)
    if not pairs:
        raise EvidenceError(
            f"No request of {found.name!r} was answered twice yet.",
            "Repeats (loop.repeat_rate) and audits of owned answers make such pairs.",
        )
    rows = _scored(scorer, pairs, settings, store, found)
    failures = sum(1 for row in rows if row["failed"])
    agreement = _agreement(rows, pairs) if isinstance(scorer, JudgeScorer) else None
    verdict = _may_certify(scorer, agreement) if agreement and isinstance(scorer, JudgeScorer) else None
    if as_json:
        summary = {"pairs": len(rows), "failed": failures, "agreement": agreement, "stands_in_the_way": verdict}
        echo_json({"task": found.task_id, "name": found.name, "scorer": kind_of(scorer), **summary, "rows": rows})
        return
    console().print(_table(f"{found.name}: {kind_of(scorer)}", rows))
    harm = statistics.fmean(row["harm"] for row in rows)
    click.echo(f"{len(rows)} pairs, mean loss {harm:.3f}; {failures} could not be scored and count as lost.")
    if agreement is not None:
        kappa = "not defined" if agreement.kappa is None else f"{agreement.kappa:.2f}"
        click.echo(
            f"Agreement with people: {agreement.agreed} of {agreement.pairs} pairs, at least {agreement.lower:.0%} "
            f"(95% confidence), Cohen's kappa {kappa}. {verdict or 'It may certify.'}"
        )


def scorer_from(kind: str, options: tuple[str, ...]) -> Scorer:
    """The scorer of this kind with `KEY=VALUE` options: text as it is, everything else as JSON.

    Raises:
        ConfigError: an option is not one of this kind's, or its value does not fit.
    """
    fields = {field.name: field.type for field in msgspec.structs.fields(KINDS[kind])}
    values: dict[str, Any] = {"kind": kind}
    for option in options:
        name, text = _split(option)
        if name not in fields:
            known = ", ".join(sorted(set(fields) - {"reason"})) or "none"
            raise ConfigError(f"The {kind} scorer has no option {name!r}.", f"Its options: {known}.")
        values[name] = text if _is_text(fields[name]) else _json_value(name, text)
    if values.get("database"):
        values["database"] = str(Path(values["database"]).absolute())
    try:
        return msgspec.convert(values, Scorer)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The {kind} scorer cannot be made: {error}.", "Mend the option that is named.") from error


def _guess(settings: Settings, store: Store, task: Task, options: tuple[str, ...]) -> tuple[Guess, list[str]]:
    """The guess, and the answers it rests on."""
    from freehold.scorers import guess
    from freehold.scorers.guess import LOOKED_AT

    given = dict(_split(option) for option in options)
    unknown = sorted(set(given) - {"database", "tests"})
    if unknown:
        raise ConfigError(f"A guess takes no option {unknown[0]!r}.", "It takes database and tests.")
    database = str(Path(given["database"]).absolute()) if "database" in given else ""
    answers, requests = recorded_answers(store, settings, task, LOOKED_AT)
    return guess(answers, requests, database=database, tests=given.get("tests", "")), answers


def _guessed(settings: Settings, store: Store, task: Task, options: tuple[str, ...]) -> Scorer:
    made, _ = _guess(settings, store, task, options)
    if made.scorer is None:
        raise EvidenceError(f"No scorer of {task.name!r} can be guessed. {made.reason}", "Name a kind.")
    return made.scorer


def _split(option: str) -> tuple[str, str]:
    name, equals, text = option.partition("=")
    if not equals:
        raise ConfigError(f"The option {option!r} has no value.", "Write --option KEY=VALUE.")
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The file {text[1:]} cannot be read: {error}.", "Check its path.") from error
    return name, text


def _is_text(kind: Any) -> bool:
    return kind is str or get_origin(kind) is Literal or (get_origin(kind) is Annotated and get_args(kind)[0] is str)


def _json_value(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"The value {text!r} of {name} is not JSON: {error}.", "Write a number, true, {…}."
        ) from error


def _open(config: str | None, task: str) -> tuple[Settings, Store, Task]:
    _, settings = settings_at(config)
    store = open_store(settings)
    return settings, store, find_task(store, task)


def _current(settings: Settings, task: Task) -> tuple[Scorer | None, str]:
    configured = settings.task(task.name, task.task_id).scorer
    if configured is not None:
        return configured, "the configuration"
    return task.scorer, "the store" if task.scorer is not None else ""


def _scored(scorer: Scorer, pairs: list[Pair], settings: Settings, store: Store, task: Task) -> list[dict[str, Any]]:
    compared = asyncio.run(_compare_all(scorer, pairs, settings, store, task.task_id))
    return [
        {
            "trace": pair.trace,
            "second": pair.how,
            "answer": _short(pair.answer),
            "reference": _short(pair.reference),
            "score": one.answer.value,
            "reference_score": one.reference.value,
            "harm": one.harm,
            "detail": one.answer.detail,
            "failed": one.failed,
        }
        for pair, one in zip(pairs, compared, strict=True)
    ]


async def _compare_all(
    scorer: Scorer, pairs: list[Pair], settings: Settings, store: Store, task: str
) -> list[Comparison]:
    from freehold.scorers import compare_async

    if not isinstance(scorer, JudgeScorer):
        return [await compare_async(scorer, pair.answer, pair.reference, pair.context) for pair in pairs]
    from freehold.gateway.runtime import build_directory
    from freehold.loop.asking import ask_upstream, recording

    directory = build_directory(settings.upstreams)
    try:
        with recording(store) as record:
            ask = ask_upstream(directory, record, task)
            return [await compare_async(scorer, pair.answer, pair.reference, pair.context, ask) for pair in pairs]
    finally:
        await directory.aclose()


def _agreement(rows: list[dict[str, Any]], pairs: list[Pair]) -> JudgeAgreement:
    """Over the pairs of which people scored both answers."""
    from freehold.scorers import judge_agreement, preference

    judged: list[tuple[Preference, Preference]] = [
        (
            preference(row["score"], row["reference_score"]),
            preference(statistics.fmean(pair.context.feedback), statistics.fmean(pair.context.reference_feedback)),
        )
        for row, pair in zip(rows, pairs, strict=True)
        if not row["failed"] and pair.context.feedback and pair.context.reference_feedback
    ]
    return judge_agreement(judged)


def _may_certify(scorer: JudgeScorer, agreement: JudgeAgreement) -> str | None:
    """What stands in the way of the judge; None if nothing does."""
    from freehold.scorers import may_certify

    try:
        may_certify(agreement, scorer.minimum_agreement, scorer.minimum_pairs)
    except EvidenceError as error:
        return str(error)
    return None


def _fields(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__struct_fields__}


def _short(text: str) -> str:
    folded = " ".join(text.encode("utf-8", "replace").decode().split())
    return folded if len(folded) <= _SHOWN else f"{folded[:_SHOWN]}…"


def _table(title: str, rows: list[dict[str, Any]]) -> Any:
    from rich.markup import escape

    made = table(title, "second answer", "answer", "reference", "score", "loss", "why", right=("score", "loss"))
    for row in rows:
        score = "–" if row["score"] is None else f"{row['score']:.2f}"
        why = f"Not scored: {row['failed']}" if row["failed"] else row["detail"]
        made.add_row(row["second"], escape(row["answer"]), escape(row["reference"]), score, f"{row['harm']:.2f}",
                     escape(why))  # fmt: skip
    return made
