"""`freehold certificate list`, `show`, `verify`: what was promised, on what grounds, and whether that still holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    task_names,
    when,
)
from freehold.domain.errors import CertificateError, NotFound, RequestError

if TYPE_CHECKING:
    from freehold.domain.evidence import Certificate
    from freehold.evaluate import Verification
    from freehold.store import Store

KEY_DIGITS = 64


@click.group("certificate")
def certificate_command() -> None:
    """List, show and verify certificates."""


@certificate_command.command("list")
@click.option("--task", help="Only those of this task (id or name).")
@config_option
@json_option
def list_command(task: str | None, config: str | None, as_json: bool) -> None:
    """List certificates, newest first."""
    _, settings = settings_at(config)
    store = open_store(settings)
    wanted = find_task(store, task).task_id if task else None
    found = store.control.certificates.list(wanted, newest_first=True)
    in_force = _in_force(store)
    if as_json:
        echo_json([{**_row(item), "in_force": item.certificate_id in in_force} for item in found])
        return
    if not found:
        click.echo("No certificates yet: `freehold plan` says what each task still needs.")
        return
    names = task_names(store)
    made = table("Certificates", "id", "task", "issued", "risk", "loss ≤", "ε", "covers", "attempt", "in force",
                 right=("loss ≤", "ε", "covers", "attempt"))  # fmt: skip
    for item in found:
        made.add_row(
            item.certificate_id.removeprefix("ce_")[:8],
            names.get(item.task, item.task),
            when(item.issued_ns),
            item.risk,
            f"{item.loss_upper:.2%}",
            f"{item.epsilon:.2%}",
            f"{item.coverage:.0%}",
            str(item.attempt),
            "yes" if item.certificate_id in in_force else "",
        )
    console().print(made)


@certificate_command.command("show")
@click.argument("certificate")
@config_option
@json_option
def show_command(certificate: str, config: str | None, as_json: bool) -> None:
    """Say what CERTIFICATE states, what it rests on and what it assumes."""
    from freehold.domain.statements import statement

    _, settings = settings_at(config)
    store = open_store(settings)
    found = _find(store, certificate)
    if as_json:
        in_force = found.certificate_id in _in_force(store)
        echo_json({"certificate": found, "statement": statement(found), "in_force": in_force})
        return
    _report(store, found)
    _walk(found)
    click.echo(f"Compute it again from what is stored: `freehold certificate verify {found.certificate_id}`")


@certificate_command.command("verify")
@click.argument("certificate")
@click.option(
    "--key", metavar="FILE", help="File with the public key to trust, 64 hex digits [default: this installation's]."
)
@click.option(
    "--deep/--no-deep", default=True, show_default=True, help="Have students and routers decide on all rows again."
)
@config_option
@json_option
def verify_command(certificate: str, key: str | None, deep: bool, config: str | None, as_json: bool) -> None:
    """Compute CERTIFICATE again from its stored evidence; exit code 7 if anything was changed."""
    from freehold.evaluate import verify_certificate

    _, settings = settings_at(config)
    store = open_store(settings)
    found = _find(store, certificate)
    embedder = settings.candidates.embedder
    done = verify_certificate(store, found.certificate_id, public_key=public_key_in(key), deep=deep, embedder=embedder)
    if as_json:
        echo_json({"certificate": found.certificate_id, "holds": done.holds, "checks": done.checks})
        if not done.holds:
            sys.exit(CertificateError.exit_code)
        return
    _report(store, found)
    _show_checks(done)
    if not done.holds:
        failed = "; ".join(f"{check.name}: {check.sentence}" for check in done.failed)
        raise CertificateError(f"Certificate {found.certificate_id} does not hold. {failed}", done.failed[0].hint)
    click.secho(f"Certificate {found.certificate_id} holds.", bold=True)


def _find(store: Store, wanted: str) -> Certificate:
    """The certificate with this id, or the only one whose id begins so."""
    exact = store.control.certificates.get(wanted)
    if exact is not None:
        return exact
    beginning = wanted.removeprefix("ce_")
    found = [
        item
        for item in store.control.certificates.list()
        if beginning and item.certificate_id.removeprefix("ce_").startswith(beginning)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(item.certificate_id for item in found)
        raise NotFound(f"{wanted!r} could be any of {names}.", "Give the whole id.")
    raise NotFound(f"There is no certificate {wanted!r}.", "`freehold certificate list` lists them.")


def public_key_in(path: str | None) -> str | None:
    """The public key in a file, 64 hex digits; None of none.

    Raises:
        RequestError: the file cannot be read, or holds something else.
    """
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="ascii").strip().lower()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(
            f"The key file {path} cannot be read: {error}.", "Give a file with 64 hex digits."
        ) from error
    if len(text) != KEY_DIGITS or set(text) - set("0123456789abcdef"):
        raise RequestError(
            f"{path} does not hold a public key.",
            "It is 64 hex digits: the `public_key` in `freehold certificate show ID --json`, got by a way you trust.",
        )
    return text


def _in_force(store: Store) -> set[str]:
    return {rung.certificate for entry in store.control.current_policy().tasks.values() for rung in entry.rungs}


def _row(item: Certificate) -> dict[str, Any]:
    names = ("certificate_id", "task", "issued_ns", "loss", "risk", "test", "epsilon", "loss_upper", "coverage",
             "attempt")  # fmt: skip
    return {name: getattr(item, name) for name in names}


def _report(store: Store, item: Certificate) -> None:
    """Print the statement and what it rests on."""
    from freehold.domain.statements import finding, statement

    task = store.control.tasks.get(item.task)
    floor = "not measured" if item.self_disagreement is None else f"{item.self_disagreement:.2%}"
    made = table(f"Certificate {item.certificate_id}", "", "")
    rows = [
        ("states", statement(item)),
        ("task", f"{task.name} ({item.task})" if task else item.task),
        ("in force", "yes" if item.certificate_id in _in_force(store) else "no"),
        *(("rung", _rung(item, number)) for number in range(len(item.rungs))),
        ("found", finding(item)),
        ("loss", f"{item.loss_estimate:.2%} estimated, at most {item.loss_upper:.2%}"),
        ("over all traffic", f"at most {item.traffic_loss_upper:.2%}"),
        ("covers", f"{item.coverage:.1%} of requests ({item.accepted} of {item.certify_rows} certify rows)"),
        ("test", f"{item.test}, fixed sequence of {len(item.tested)} steps, p = {item.p_value:.3g}"),
        ("confidence", f"attempt {item.attempt} spends δ = {item.delta_spent:.3g}; all attempts ever, {item.delta:g}"),
        ("scorer", item.scorer or "none: answers are the same, or not"),
        ("the incumbent differs from itself", floor),
        *(("assumes", assumption) for assumption in item.assumptions),
        ("dataset", f"{item.dataset_id}, SHA-256 {item.dataset_sha256}"),
        ("evidence", f"{item.evidence_path}, SHA-256 {item.evidence_sha256}"),
        ("issued", f"{when(item.issued_ns)} by {item.software}"),
        ("key", item.public_key),
    ]
    for name, value in rows:
        made.add_row(name, value)
    console().print(made)


def _rung(item: Certificate, number: int) -> str:
    rung = item.rungs[number]
    rule = f"as router {rung.signal} says" if rung.routed else f"when its signal ≥ {item.thresholds[number]:.4g}"
    return f"{rung.kind} {rung.name} answers {rule}, novelty ≤ {rung.novelty_limit:.4g}"


def _walk(item: Certificate) -> None:
    figures = ("threshold", "accepted", "loss", "p-value")
    made = table("The walk, strictest first, to the first step that fails", *figures, "", right=figures)
    for step in item.tested:
        verdict = "holds" if step.p_value <= item.delta_spent else "fails"
        made.add_row(
            ", ".join(f"{threshold:.4g}" for threshold in step.thresholds),
            str(step.accepted),
            f"{step.loss_sum:.4g}",
            f"{step.p_value:.3g}",
            "certified" if step.thresholds == item.thresholds else verdict,
        )
    console().print(made)


def _show_checks(done: Verification) -> None:
    made = table("Checks", "check", "", "found")
    for check in done.checks:
        verdict = {True: "holds", False: "[bold red]FAILS[/]", None: "not done"}[check.passed]
        made.add_row(check.name, verdict, f"{check.sentence} {check.hint}".strip())
    console().print(made)
