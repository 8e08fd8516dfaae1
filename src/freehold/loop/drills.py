"""An exit drill's life: begun by a command, ended by the clock, by a command, or by whoever looks next; then reported.

Workers follow the stored document and the clock, so that a drill ends in time whatever becomes of who began it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from freehold.config import Settings, UpstreamSettings
from freehold.domain.drills import Drill
from freehold.domain.errors import Conflict, NotFound, RequestError
from freehold.domain.events import Event, EventKind
from freehold.domain.ids import content_id
from freehold.monitor.drill_report import report
from freehold.record.derive import Deriver
from freehold.rights import terms_of_upstream
from freehold.route.drill import DrillView

if TYPE_CHECKING:
    from freehold.store import Store

SECOND_NS = 1_000_000_000
GRACE_NS = 5 * SECOND_NS
"""After its end until its report is made: so long may answers under way take, and workers to hear of it."""
LONGEST_SECONDS = 86_400.0
_RECENT = 20


def upstreams_of(upstreams: Mapping[str, UpstreamSettings], wanted: Sequence[str]) -> tuple[str, ...]:
    """The upstreams that are gone when these are: named so, or of such a host, provider or terms.

    An upstream that is named brings all others at its address with it: they are one provider.

    Raises:
        NotFound: nothing is known by one of the names.
    """
    found: set[str] = set()
    for name in wanted:
        address = urlsplit(upstreams[name].base_url).netloc if name in upstreams else None
        theirs = {
            other for other, settings in upstreams.items() if other == name or _is_of(settings, name.lower(), address)
        }
        if not theirs:
            raise NotFound(
                f"No upstream is called {name!r}, and none is of such a host, provider or terms.",
                f"Upstreams: {', '.join(upstreams)}.",
            )
        found |= theirs
    return tuple(name for name in upstreams if name in found)


def _is_of(settings: UpstreamSettings, wanted: str, address: str | None) -> bool:
    split = urlsplit(settings.base_url)
    host = (split.hostname or "").lower()
    terms = terms_of_upstream(settings)
    by_label = any(letter.isalpha() for letter in wanted) and wanted in host.split(".")[:-1]
    return (
        split.netloc == address or wanted == host or by_label or (wanted == terms and terms not in ("unknown", "own"))
    )


def begin_drill(
    store: Store,
    settings: Settings,
    without: Sequence[str],
    seconds: float,
    now_ns: int,
    *,
    share: float = 1.0,
    compare: float = 0.0,
    spare: bool = False,
    task: str = "",
    started_by: str = "",
    anyway: bool = False,
) -> Drill:
    """Begin a drill; every worker follows within two seconds.

    Args:
        store: where it is kept.
        settings: whose upstreams are cut.
        without: upstreams, hosts, providers or terms.
        seconds: after which it ends.
        now_ns: when it begins, unix nanoseconds.
        share: of requests that are rerouted.
        compare: share of the answers given that the incumbent is asked about too.
        spare: requests that nothing owned can answer go to the incumbent.
        task: id of the only task that it is about; empty: all requests.
        started_by: who, for the record.
        anyway: also when nothing owned could answer anything.

    Raises:
        NotFound: no such upstream.
        RequestError: it would last too long, or nothing owned could answer anything.
        Conflict: another drill is running.
    """
    if not 0 < seconds <= LONGEST_SECONDS:
        raise RequestError(f"A drill of {seconds:g} s is not possible.", "Let it last a day at most.")
    number = len(store.control.drills.list()) + 1
    drill = Drill(
        drill_id=f"dr_{number:08d}",
        without=tuple(without),
        upstreams=upstreams_of(settings.upstreams, without),
        task=task,
        share=share,
        compare=compare,
        spare=spare,
        started_by=started_by,
        since_ns=now_ns,
        until_ns=now_ns + int(seconds * SECOND_NS),
        wanted_seconds=seconds,
        created_ns=now_ns,
        updated_ns=now_ns,
    )
    if not anyway and not spare:
        _check_able(store, settings, drill)
    _keep(store, drill)
    return drill


def _keep(store: Store, drill: Drill) -> None:
    for_task = f" for task {drill.task}" if drill.task else ""
    names, seconds = ", ".join(drill.upstreams), drill.wanted_seconds
    message = f"{names} cut for {seconds:.0f} s{for_task}, for {drill.share:.0%} of requests."
    now_ns = drill.since_ns
    with store.control.transaction():
        if store.control.drill_in_force(now_ns) is not None:
            raise Conflict("Another exit drill is running.", "`freehold drill stop` ends it.")
        # Its id is the drill's number: of two that begin at once, one fails here.
        if not store.control.add_event(_event("drill-started", drill, now_ns, message)):
            raise Conflict("Another exit drill was begun at the same time.", "`freehold drill status` shows it.")
        store.control.drills.put(drill)


def _check_able(store: Store, settings: Settings, drill: Drill) -> None:
    view = DrillView(drill, settings.upstreams, settings.drill.stand_in)
    entries = store.control.current_policy().tasks.values()
    if view.stand_in is None and not any(entry.rungs or entry.ladder for entry in entries):
        raise RequestError(
            f"Nothing owned could answer: every request would fail. {view.why_not('chat')}",
            "`--spare` lets such requests through and counts them; `--anyway` drills all the same.",
        )


def stop_drill(store: Store, now_ns: int) -> Drill:
    """End the drill that is running; every worker follows within two seconds.

    Raises:
        NotFound: none is.
    """
    running = store.control.drill_in_force(now_ns)
    if running is None:
        raise NotFound("No exit drill is running.", "`freehold drill list` shows those that were.")
    return _end(store, running, "stopped", now_ns)


def _end(store: Store, drill: Drill, state: str, at_ns: int) -> Drill:
    def over(fresh: Drill) -> Drill:
        if fresh.state != "running":
            return fresh
        return msgspec.structs.replace(fresh, state=state, until_ns=min(fresh.until_ns, at_ns))

    return store.control.drills.change(drill.drill_id, over) or drill


def settle_drills(store: Store, settings: Settings, now_ns: int) -> list[Drill]:
    """End drills whose time is over and make the reports that are due; returns those that got one.

    Raises:
        StoreError: the traces or the control store cannot be read or written.
    """
    reported: list[Drill] = []
    for drill in store.control.drills.list(limit=_RECENT, newest_first=True):
        if drill.report is not None or drill.until_ns > now_ns:
            continue
        if drill.state == "running":
            drill = _end(store, drill, "ended", drill.until_ns)
        if drill.until_ns + GRACE_NS <= now_ns:
            reported.append(_report(store, settings, drill, now_ns))
    return reported


def _report(store: Store, settings: Settings, drill: Drill, now_ns: int) -> Drill:
    made = report(store, settings, drill, derive=Deriver(settings.upstreams))
    message = (
        f"{', '.join(drill.upstreams)} were cut for {made.seconds:.0f} s: owned models answered {made.kept} of "
        f"{made.drilled} requests."
    )
    with store.control.transaction():
        kept = store.control.drills.change(drill.drill_id, lambda fresh: msgspec.structs.replace(fresh, report=made))
        store.control.add_event(_event("drill-ended", drill, now_ns, message, {**made.outcomes}))
    return kept or drill


def find_drill(store: Store, wanted: str) -> Drill:
    """The drill of this id or number; `last`: the newest.

    Raises:
        NotFound: there is none.
    """
    drills = store.control.drills.list(newest_first=True)
    for drill in drills:
        number = drill.drill_id.removeprefix("dr_")
        if wanted in (drill.drill_id, number, number.lstrip("0"), "last"):
            return drill
    raise NotFound(f"There is no exit drill {wanted!r}.", "`freehold drill list` shows those that were.")


def _event(
    kind: EventKind, drill: Drill, at_ns: int, message: str, evidence: Mapping[str, object] | None = None
) -> Event:
    return Event(
        event_id=content_id("ev", kind.encode(), drill.drill_id.encode()),
        at_ns=at_ns,
        kind=kind,
        task=drill.task,
        message=message,
        evidence={"drill": drill.drill_id, **(evidence or {})},
    )
