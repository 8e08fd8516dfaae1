"""`freehold pii`: what the detectors of personal data and secrets find in a file, without showing it."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from freehold.cli.common import console, echo_json, json_option, table
from freehold.domain.errors import RequestError

if TYPE_CHECKING:
    from freehold.curate.pii import Span

_MAX_BYTES = 64_000_000
"""The whole text is looked at at once: a key in armour has many lines."""


@click.command("pii")
@click.argument("file", required=False, type=click.Path(allow_dash=True))
@click.option("--kinds", is_flag=True, help="List the kinds that are told apart.")
@click.option("--redact", is_flag=True, help="Print the text with a mask such as [email] for each value.")
@click.option(
    "--engine",
    type=click.Choice(["builtin", "presidio", "both"]),
    default="builtin",
    show_default=True,
    help='Who looks; Presidio comes with `pip install "freehold[pii]"`.',
)
@click.option(
    "--spacy-model", default="", help="For Presidio: an installed spaCy pipeline that finds names and places."
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="List at most so many places.")
@json_option
def pii_command(
    file: str | None,
    kinds: bool,
    redact: bool,
    engine: Literal["builtin", "presidio", "both"],
    spacy_model: str,
    limit: int,
    as_json: bool,
) -> None:
    """Say which personal data and secrets FILE (or standard input: -) holds, by kind and place.

    Values are not shown. The same detectors look at datasets in the steps `redact` and `secrets`.
    """
    if kinds:
        return _list_kinds(as_json)
    if file is None:
        raise RequestError("There is no text to look at.", "Name a file, or - for standard input.")
    from freehold.curate.pii import Redactor, make_engine

    text = _read(file)
    looking = make_engine(engine, model=spacy_model)
    if redact:
        done = Redactor(bytes(32), "mask", engine=looking)
        return click.echo(done.redact(text).text, nl=False)
    _report(text, looking.find(text), limit, as_json)


def _list_kinds(as_json: bool) -> None:
    from freehold.curate.pii import PERSONAL, SECRETS

    if as_json:
        return echo_json({"personal": PERSONAL, "secrets": SECRETS})
    shown = table("", "kind", "what", "group")
    for group, kinds in (("personal", PERSONAL), ("secret", SECRETS)):
        for kind, what in kinds.items():
            shown.add_row(kind, what, group)
    console().print(shown)


def _read(file: str) -> str:
    """The text; bytes that are no UTF-8 become U+FFFD, in which nothing is found.

    Raises:
        RequestError: it cannot be read, or is too long.
    """
    try:
        with click.open_file(file, "rb") as stream:
            content: bytes = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise RequestError(f"{Path(file)} cannot be read: {error.strerror}.", "Check its name and rights.") from error
    if len(content) > _MAX_BYTES:
        raise RequestError(f"{Path(file)} is longer than {_MAX_BYTES // 1_000_000} MB.", "Part it.")
    return content.decode("utf-8", "replace")


def _report(text: str, spans: list[Span], limit: int, as_json: bool) -> None:
    from freehold.curate.pii import SECRETS, count_kinds

    starts = [0, *(place + 1 for place, character in enumerate(text) if character == "\n")]
    found = [
        {
            "kind": span.kind,
            "line": (line := bisect_right(starts, span.start)),
            "column": span.start - starts[line - 1] + 1,
            "characters": span.end - span.start,
            "confidence": round(span.confidence, 2),
        }
        for span in spans
    ]
    counts = count_kinds(spans)
    if as_json:
        return echo_json({"counts": counts, "found": found[:limit]})
    if not spans:
        return click.echo("Nothing found. Names, places and what only its meaning gives away are not looked for.")
    by_kind = table("Found", "kind", "values", "group", right=("values",))
    for kind, count in counts.items():
        by_kind.add_row(kind, str(count), "secret" if kind in SECRETS else "personal")
    console().print(by_kind)
    places = table("Where", *found[0], right=("line", "column", "characters", "confidence"))
    for one in found[:limit]:
        places.add_row(*map(str, one.values()))
    console().print(places)
    if len(found) > limit:
        click.echo(f"And {len(found) - limit} more (--limit).")
