"""`freehold import`: what other programs recorded, as traces and feedback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table
from freehold.domain.errors import ConfigError, Conflict, NotFound, RequestError

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.record.importing.exchange import Identify, Options
    from freehold.record.importing.importer import Report
    from freehold.store import Store

REJECTED = 9
"""Exit code: some rows were rejected; all others are imported."""
_REASONS_SHOWN = 10


def _formats(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from freehold.record.importing.formats import FORMATS

    for name, found in FORMATS.items():
        click.echo(f"{name:16} {found.title}")
    ctx.exit()


@click.command("import")
@click.argument("format_name", metavar="[FORMAT]")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--formats", is_flag=True, is_eager=True, expose_value=False, callback=_formats, help="List all formats.")
@click.option("--detect", is_flag=True, help="Say what each file looks like; import nothing.")
@click.option("--upstream", default="", help="Who answered: an upstream of the settings, whose terms then hold.")
@click.option("--task", default="", help="The name of the task that all requests belong to.")
@click.option("--model", default="", help="The model asked for, where the files do not say.")
@click.option("--key", help="Whose data it is: a virtual key (name or id).")
@click.option("--dry-run", is_flag=True, help="Say what would be imported; write nothing.")
@click.option("--again", is_flag=True, help="Read files from their beginning that were read before.")
@click.option("--keep-content", is_flag=True, help="Keep rejected rows with what they hold.")
@config_option
@json_option
def import_command(
    format_name: str, files: tuple[Path, ...], detect: bool, config: str | None, as_json: bool, **given: Any
) -> None:
    """Import FILES (or folders) of FORMAT as traces and feedback.

    What is stored already is known by its id or its content, so that importing twice changes nothing. An import that
    was stopped goes on where it was. Rows that cannot be used go to a file beside the data, each with its reason; the
    exit code is then 9.

    Files may be compressed (gzip, zstd). `freehold import --formats` lists the formats, `freehold import --detect FILE`
    says which one a file is of.
    """
    if detect:
        _detect((Path(format_name), *files), as_json)
        return
    from freehold.record.importing.formats import format_named
    from freehold.record.importing.importer import Importer

    wanted = format_named(format_name)
    if not files:
        raise RequestError("There is nothing to import.", f"Run `freehold import {format_name} FILE…`.")
    _, settings = settings_at(config)
    store = open_store(settings)
    try:
        with _progress(files, quiet=as_json or not sys.stderr.isatty()) as at_chunk:
            importer = Importer(
                store,
                wanted,
                _options(settings, store, wanted.name, given),
                _identify(store),
                dry_run=given["dry_run"],
                again=given["again"],
                keep_content=given["keep_content"],
                seal=_sealing(settings, store),
                at_chunk=at_chunk,
            )
            report, rejects = importer.run(files)
    finally:
        store.close()
    _show(report, rejects, as_json, dry_run=given["dry_run"])
    if report.rejected:
        sys.exit(REJECTED)


def _detect(files: tuple[Path, ...], as_json: bool) -> None:
    from freehold.record.importing.files import files_in
    from freehold.record.importing.formats import detect

    found = [(path, detect(path)) for path in files_in(files)]
    if as_json:
        echo_json([{"file": str(path), "format": of and of.format.name, "kind": of and of.role} for path, of in found])
        return
    made = table("Files", "file", "format", "kind of rows")
    for path, of in found:
        made.add_row(str(path), of.format.name if of else "none known", of.role if of else "")
    console().print(made)


def _options(settings: Settings, store: Store, name: str, given: dict[str, Any]) -> Options:
    from freehold.record.importing.exchange import Options

    upstream = given["upstream"]
    if upstream and upstream not in settings.upstreams:
        raise ConfigError(
            f"There is no upstream {upstream!r}.",
            f"The settings have: {', '.join(settings.upstreams) or 'none'}. Add it, so that its terms are known.",
        )
    key = None if given["key"] is None else _key_id(store, given["key"])
    family = "otel" if name in ("otel", "openinference") else name
    return Options(
        source=name, family=family, upstream=upstream, task=given["task"].strip(), model=given["model"], key=key
    )


def _key_id(store: Store, wanted: str) -> str:
    keys = store.control.access.keys.list()
    found = [key.key_id for key in keys if wanted in (key.key_id, key.name)]
    if len(found) != 1:
        raise NotFound(f"There is no key {wanted!r}.", "`freehold keys list` lists them.")
    return found[0]


def _identify(store: Store) -> Identify:
    """As the gateway does it, by the policy in force."""
    from freehold.domain.fingerprint import TemplateIndex
    from freehold.route import Identifier
    from freehold.route.identify import task_name

    identifier, index = Identifier(), TemplateIndex(store.control.current_policy().templates)
    return lambda request, name: identifier.identify(request, task_name(request, name), index)


def _sealing(settings: Settings, store: Store) -> Callable[[], None]:
    from freehold.record.sealer import Sealer

    sealer = Sealer(store, settings.upstreams)

    def seal() -> None:
        try:
            sealer.seal_once()
        except Conflict:  # a running loop seals, and makes room as well
            return

    return seal


@contextmanager
def _progress(files: tuple[Path, ...], *, quiet: bool) -> Generator[Callable[[Report, Path, int], None] | None]:
    """A bar on standard error: rows per second, and the time that is left by the share of the bytes read."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from freehold.record.importing.files import files_in

    sizes = {path: path.stat().st_size for path in files_in(files)}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("importing", total=sum(sizes.values()) or None, rows=0, rate=0.0)
        done: set[Path] = set()
        begun = bar.get_time()
        first: list[int] = []

        def at_chunk(report: Report, path: Path, position: int) -> None:
            first.append(report.rows) if not first else None
            rate = (report.rows - first[0]) / max(bar.get_time() - begun, 1e-9)
            before = sum(sizes[other] for other in done if other != path)
            done.add(path)
            read = min(position, sizes[path])
            bar.update(shown, description=path.name, completed=before + read, rows=report.rows, rate=rate)

        yield at_chunk


def _show(report: Report, rejects: Path | None, as_json: bool, *, dry_run: bool) -> None:
    if as_json:
        import msgspec

        document = {**msgspec.to_builtins(report), "dry_run": dry_run, "rejects": str(rejects) if rejects else None}
        echo_json(document)
        return
    title = f"{report.format}: what would be imported" if dry_run else f"Imported from {report.format}"
    made = table(title, "what", "how many", right=("how many",))
    counts = (
        ("files", report.files),
        ("files read before", report.read_before),
        ("rows read", report.rows),
        ("traces, new", report.traces),
        ("feedback, new", report.feedback),
        ("stored already", report.known),
        ("rows passed over", report.passed_over),
        ("rows rejected", report.rejected),
    )
    for what, count in counts:
        made.add_row(what, f"{count:,}")
    console().print(made)
    for reason, count in list(report.reasons.items())[:_REASONS_SHOWN]:
        click.echo(f"  rejected {count:,}: {reason}")
    if rejects is not None:
        click.echo(f"Rejected rows are listed in {rejects}.")
