"""`freehold doctor`: look at everything that can be wrong before traffic meets it."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import click

from freehold.cli.common import config_option, console, echo_json, json_option, open_store, settings_at, table
from freehold.config import Settings, UpstreamSettings
from freehold.domain.errors import FreeholdError, LeaseHeld
from freehold.domain.policy import Ladder
from freehold.rights import OWN, judge_training, licences, terms_of_upstream
from freehold.rights.words import NOTICE, in_words

if TYPE_CHECKING:
    from freehold.domain.counsel import Decision
    from freehold.store import Store

LOW_DISK_BYTES = 1_000_000_000
_CONNECT_SECONDS = 3.0
_PROMPT = "Say in two sentences what the customer wants, and how soon. " * 10
"""Of a usual length, to time the embedder with."""
_EMBEDDED = 10


class Check(NamedTuple):
    """One thing that was looked at."""

    what: str
    level: str
    """ok, warning or error."""
    says: str


@click.command("doctor")
@config_option
@json_option
def doctor_command(config: str | None, as_json: bool) -> None:
    """Check configuration, keys, store, upstreams, terms and students; exit code 1 if anything is broken."""
    checks = list(_checks(config))
    if as_json:
        echo_json([check._asdict() for check in checks])
    else:
        made = table("Doctor", "", "what", "")
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}
        for check in checks:
            made.add_row(marks[check.level], check.what, check.says)
        console().print(made)
    if any(check.level == "error" for check in checks):
        raise SystemExit(1)


def _checks(config: str | None) -> Iterator[Check]:
    try:
        path, settings = settings_at(config)
    except FreeholdError as error:
        yield Check("configuration", "error", str(error))
        return
    yield Check("configuration", "ok", str(path))
    yield from _keys(settings)
    for name, upstream in settings.upstreams.items():
        yield from _upstream(name, upstream, settings)
    if not settings.upstreams:
        yield Check("upstreams", "error", "None is configured: add a table [upstreams.NAME] with a base_url.")
    yield from _candidates(settings)
    if settings.candidates.embedder:
        yield _embedder(Path(settings.candidates.embedder))
    if settings.drill.stand_in:
        yield _stand_in(settings)
    yield from _gateway(settings)
    yield from _data(settings)
    yield from _store(settings)


def _keys(settings: Settings) -> Iterator[Check]:
    wanted = {settings.gateway.api_key_env: "gateway.api_key_env"} if settings.gateway.api_key_env else {}
    wanted |= {
        u.api_key_env: f"upstreams.{name}.api_key_env" for name, u in settings.upstreams.items() if u.api_key_env
    }
    wanted |= {
        place.api_key_env: f"upstreams.{name}.deployments.api_key_env"
        for name, u in settings.upstreams.items()
        for place in u.deployments
        if place.api_key_env
    }
    if settings.access.admin_key_env:
        wanted[settings.access.admin_key_env] = "access.admin_key_env"
    if settings.access.pepper_env:
        wanted[settings.access.pepper_env] = "access.pepper_env"
    for variable, setting in wanted.items():
        if os.environ.get(variable):
            yield Check(setting, "ok", f"${variable} is set")
        else:
            yield Check(setting, "error", f"${variable} is not set: `export {variable}=…`")


def _upstream(name: str, upstream: UpstreamSettings, settings: Settings) -> Iterator[Check]:
    urls = [place.base_url for place in upstream.deployments] or [upstream.base_url]
    for url in urls:
        yield _way(name, upstream, url)
    terms = terms_of_upstream(upstream)
    yield _terms(name, terms, settings)


def _terms(name: str, terms: str, settings: Settings) -> Check:
    """What may be trained on its answers."""
    from freehold.store.counsel import today

    what = f"terms of {name}"
    known = licences().get(terms)
    if known is None and terms != OWN:
        ids = ", ".join(sorted((OWN, *(entry.id for entry in licences().values() if entry.hosts))))
        return Check(what, "warning", f"Not known, so nothing may be trained. Known: {ids}; `freehold rights list`")
    verdict = judge_training("train_classifier", terms, _counsel(settings), today(), settings.organisation)
    title = known.name if known is not None else "The organisation's own answers"
    return Check(what, "ok" if verdict.permits else "warning", f"{title}, to train a classifier: {in_words(verdict)}")


def _counsel(settings: Settings) -> tuple[Decision, ...]:
    """Counsel's decisions on all tasks; none where nothing is stored yet. What cannot be read is told of the store."""
    from freehold.store.counsel import decisions

    if not settings.data.exists() and not settings.control.url:
        return ()
    try:
        return decisions(open_store(settings))
    except FreeholdError:
        return ()


def _rights(store: Store, settings: Settings) -> Iterator[Check]:
    """Records that nobody signed, and what serves though rights do not permit it any more."""
    from freehold.promote import objection, rights_in_force
    from freehold.store.counsel import forged, listed

    for kind in ("decisions", "fulfilments"):
        for item in listed(store, kind):
            if item.state == "forged":
                yield Check(f"rights: {kind}", "error", str(forged(item.record_id)))
            elif item.state == "expired":
                yield Check(f"rights: {kind}", "warning", f"{item.record_id} has expired: `freehold rights {kind}`.")
    for rights in rights_in_force(store, settings):
        error, what = objection(rights), f"rights of {rights.asset.asset_id}"
        says = f"It serves, but today: {error}" if error else f"It may serve; its duties are met. {NOTICE}"
        yield Check(what, "error" if error else "ok", says)


def _way(name: str, upstream: UpstreamSettings, url: str) -> Check:
    """Whether one place can be reached, at an address that it may have."""
    from freehold.upstreams.http.addresses import is_literal, is_public

    split = urlsplit(url)
    host, port = split.hostname or "", split.port or (443 if split.scheme == "https" else 80)
    what = f"upstream {name}"
    if upstream.proxy or upstream.trust_env_proxy:
        return Check(what, "ok", f"{host}:{port} is reached through a proxy, and was not tried")
    try:
        with socket.create_connection((host, port), _CONNECT_SECONDS) as connection:
            address = str(connection.getpeername()[0])
    except OSError as error:
        return Check(what, "error", f"{host}:{port} cannot be reached: {error}")
    if not (upstream.private or is_literal(host) or is_public(address)):
        says = f"{host} has the address {address}, which is not a public one: set private = true if that is meant"
        return Check(what, "error", says)
    return Check(what, "ok", f"{host}:{port} accepts connections")


def _candidates(settings: Settings) -> Iterator[Check]:
    from freehold.record.prices import PriceList
    from freehold.route import why_unusable
    from freehold.upstreams.matching import ModelMap

    models = ModelMap({name: upstream.models for name, upstream in settings.upstreams.items()})
    for model in settings.candidates.models:
        what, where = f"candidate {model}", models.find(model)
        problem = why_unusable(settings.upstreams, model)
        if where is None:
            yield Check(what, "error", problem)
            continue
        if problem:
            yield Check(what, "warning", f"Asked only about requests to {where!r} itself. {problem}")
        price = PriceList(settings.upstreams).cost(where, (model,), input=0, cached=0, output=0, at_ns=time.time_ns())
        if price[1] == "none" and not settings.upstreams[where].owned:
            says = f'Its price is not known, so it is not asked: set [upstreams.{where}.prices] "{model}".'
            yield Check(what, "warning", says)
        elif not problem:
            daily = f"{settings.candidates.rate:.0%} of requests, {settings.candidates.dollars_per_day:g} dollars a day"
            yield Check(what, "ok", f"at upstream {where}; all candidates together: {daily}")


def _stand_in(settings: Settings) -> Check:
    from freehold.route.drill import stand_in_of

    found, why = stand_in_of(settings.upstreams, settings.drill.stand_in, frozenset())
    if found is None:
        return Check("stand-in", "error", f"{why} An exit drill would fail.")
    return Check("stand-in", "ok", f"{found.name} answers in an exit drill what no task's own model can")


def _gateway(settings: Settings) -> Iterator[Check]:
    """What a gateway that runs here says of itself: among others, that it could not take up this file."""
    import http.client
    import json

    host, port = settings.gateway.host, settings.gateway.port
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=_CONNECT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        found = json.loads(connection.getresponse().read())
        degraded = [str(sentence) for sentence in found["degraded"]]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        yield Check("gateway", "ok", f"none answers at {host}:{port}")
        return
    finally:
        connection.close()
    for sentence in degraded:
        yield Check("gateway", "warning", sentence)
    if not degraded:
        yield Check("gateway", "ok", f"runs at {host}:{port}")


def _embedder(folder: Path) -> Check:
    from freehold.signals.embed import load_embedder

    try:
        embedder = load_embedder(folder)
    except FreeholdError as error:
        return Check("embedder", "error", f"{error} No ladder can be looked for or served with it.")
    started = time.monotonic()
    for _ in range(_EMBEDDED):
        embedder.embed(_PROMPT)
    each = (time.monotonic() - started) / _EMBEDDED
    return Check("embedder", "ok", f"{folder}: {embedder.dimensions} dimensions, {1e3 * each:.1f} ms per request")


def _data(settings: Settings) -> Iterator[Check]:
    folder = settings.data
    present = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(present).free
    if not os.access(present, os.W_OK):
        yield Check("data folder", "error", f"{present} is not writable")
    elif free < LOW_DISK_BYTES:
        yield Check("data folder", "warning", f"{folder}: only {free / 1e6:.0f} MB free; recording stops when full")
    else:
        yield Check("data folder", "ok", f"{folder}, {free / 1e9:.0f} GB free")


def _store(settings: Settings) -> Iterator[Check]:
    if not settings.data.exists() and not settings.control.url:
        yield Check("store", "ok", "nothing stored yet")
        return
    try:
        store = open_store(settings)
        version = store.control.policy_version()
        yield Check("control store", "ok", f"policy {version} is in force")
        for entry in store.control.current_policy().tasks.values():
            for rung in entry.rungs:
                yield _student(settings.data / rung.path, rung.sha256, rung.student)
            if entry.ladder is not None:
                yield _ladder(settings, entry.task, entry.ladder)
        yield from _rights(store, settings)
        damaged = [event for event in store.control.events(1000) if event.kind == "journal-damaged"]
        if damaged:
            yield Check("journal", "warning", f"{len(damaged)} damage(s) found; the last: {damaged[0].message}")
        yield from _access(settings, store)
        yield _loop(settings)
    except FreeholdError as error:
        yield Check("store", "error", str(error))


def _access(settings: Settings, store: Store) -> Iterator[Check]:
    """Whether the keys that were made can be checked here."""
    from freehold.access.credentials import Pepper

    keys = store.control.access.keys.list()
    active = [key for key in keys if not key.ended(time.time_ns())]
    if keys:
        pepper = Pepper.open(settings)
        if pepper is None or pepper.mark != store.control.access.pepper_mark():
            says = "This host has another pepper than the keys were made with, and refuses them all"
            yield Check("keys", "error", f"{says}: see access.pepper_env.")
            return
    if active:
        yield Check("keys", "ok", f"{len(active)} active of {len(keys)}")
    elif settings.access.required and not settings.gateway.api_key_env:
        yield Check("keys", "warning", "Every caller needs a key, and there is none: `freehold keys create NAME`")
    elif keys and not settings.gateway.api_key_env:
        yield Check("keys", "warning", "All keys have ended: no caller is let in")


def _student(folder: Path, sha256: str, name: str) -> Check:
    from freehold.serving import read_gate
    from freehold.store.artifacts import check_files, read_student
    from freehold.upstreams.student import build_classifier

    try:
        manifest, tensors = read_student(folder, sha256)
        if manifest.get("kind") == "generative":
            read_gate(manifest, tensors)
            check_files(folder, manifest)
        else:
            build_classifier(manifest, tensors)
    except FreeholdError as error:
        return Check(f"student {name}", "error", str(error))
    return Check(f"student {name}", "ok", "every file's hash holds")


def _ladder(settings: Settings, task: str, ladder: Ladder) -> Check:
    from freehold.gateway.ladder.students import load_ladder
    from freehold.record.prices import PriceList

    try:
        load_ladder(settings, PriceList(settings.upstreams), ladder)
    except FreeholdError as error:
        return Check(f"ladder of {task}", "error", f"{error} The incumbent answers.")
    names = ", ".join(model.name for model in ladder.models)
    return Check(f"ladder of {task}", "ok", f"{names}: every file's hash holds, and every model may be asked")


def _loop(settings: Settings) -> Check:
    from freehold.store.locks import exclusive

    try:
        with exclusive(settings.data / "loop.lock"):
            return Check(
                "loop", "warning", "No loop is running: nothing is watched or rolled back. Run `freehold loop`."
            )
    except LeaseHeld:
        return Check("loop", "ok", "running")
