"""What one gateway worker holds."""

from __future__ import annotations

import asyncio
import functools
import time
import weakref
from typing import NamedTuple

from freehold.access import Access, AdminAPI, own_key
from freehold.config import Settings
from freehold.config.watch import ConfigWatch
from freehold.domain.errors import ConfigError
from freehold.domain.ids import new_id
from freehold.domain.traces import Kind
from freehold.gateway.background.audits import Audits
from freehold.gateway.background.budget import DailyBudget
from freehold.gateway.background.shadows import Shadows
from freehold.gateway.cache import ResponseCache
from freehold.gateway.caller import Caller
from freehold.gateway.directory import asked_upstreams, build_directory, rebuilt
from freehold.gateway.exchange import Exchange
from freehold.gateway.http import Request
from freehold.gateway.ladder.resting import Resting
from freehold.gateway.ladder.students import load_ladder, load_student
from freehold.gateway.limits.rates import Rates
from freehold.gateway.telemetry.gauges import Tick, show_state
from freehold.gateway.telemetry.metrics import FOLDER, Metrics
from freehold.gateway.telemetry.telemetry import Telemetry, price_of
from freehold.record import Recorder
from freehold.record.opening import journal_options
from freehold.record.prices import PriceList
from freehold.route import DrillView, Identifier, PolicyWatch
from freehold.store import ControlStore, JournalWriter
from freehold.upstreams.base import Upstream
from freehold.upstreams.directory import UpstreamDirectory

FIRST_POLL_SECONDS = 2.0
"""How long a starting worker waits for its policy; without one it passes everything through."""
DRAIN_SECONDS = 5.0


class Ready(NamedTuple):
    """Other settings, and what is built from them."""

    settings: Settings
    upstreams: UpstreamDirectory
    retired: list[Upstream]
    """Upstreams that are in force now and then no more."""
    own_key: bytes | None
    telemetry: Telemetry


class Runtime:
    """One per process: upstreams, journal, policy watch, audits, counters."""

    def __init__(self, settings: Settings) -> None:
        """Build from settings; nothing is opened or connected before `start`.

        Raises:
            ConfigError: an environment variable that should hold a key is not set, or no upstream is configured.
        """
        if not settings.upstreams:
            raise ConfigError("No upstream is configured.", "Add a table [upstreams.NAME] with a base_url.")
        gateway = settings.gateway
        worker = new_id("wk")
        self.settings: Settings = settings
        self.metrics = Metrics(worker, models=_models(settings), price=self._price)
        self.telemetry = Telemetry(settings, self.metrics)
        self._tick = Tick(self.metrics)
        self.journal = JournalWriter(settings.data / "journal" / worker, journal_options(settings.journal))
        self.recorder = Recorder(self.journal)
        self.identifier = Identifier()
        self.upstreams: UpstreamDirectory = build_directory(asked_upstreams(settings))
        self.cache = ResponseCache(settings.data, settings.cache) if settings.cache.enabled else None
        self.prices = PriceList(settings.upstreams)
        self.resting = Resting()
        self._owned = frozenset(name for name, upstream in asked_upstreams(settings).items() if upstream.owned)
        self.rates = Rates(self.prices, self._owned)
        self.access = Access.open(settings, self._open_control)
        self.admin = AdminAPI(settings, self._open_control)
        self.watch = PolicyWatch(
            self._open_control,
            settings.data,
            load_student,
            functools.partial(load_ladder, settings, self.prices),
            poll_seconds=gateway.policy_poll_seconds,
            lease_seconds=gateway.policy_lease_seconds,
        )
        self.audits = self._audits()
        self.shadows = self._shadows()
        self.file: ConfigWatch | None = None
        """What follows the configuration file, if anything does."""
        self._retired = weakref.WeakSet[Upstream]()
        """Of former settings; exchanges under way hold on to them."""
        self._drill: tuple[DrillView | None, Settings] = (None, settings)
        """What `drill` saw last, and by which settings."""
        self.upstreams.without = self._cut
        self._leaving: list[Audits] = []
        """Queues of former settings."""
        show_state(self.metrics, self)

    def _price(self, upstream: str, model: str, given: int, cached: int, said: int) -> float | None:
        return price_of(self.prices, upstream, model, given, cached, said)

    def _audits(self) -> Audits:
        gateway = self.settings.gateway
        return Audits(
            self.upstreams,
            self.metrics.audits,
            self.begin,
            concurrency=gateway.audit_concurrency,
            queue=gateway.audit_queue,
            max_response_bytes=gateway.max_recorded_response_bytes,
        )

    def _shadows(self) -> Shadows | None:
        settings, gateway = self.settings, self.settings.gateway
        if not (settings.candidates.models and settings.candidates.rate):
            return None
        return Shadows(
            settings.candidates,
            settings.tasks,
            settings.upstreams,
            self.prices,
            DailyBudget(settings.data / "shadows", int(settings.candidates.dollars_per_day * 1e9)),
            self.upstreams,
            self.metrics.shadows,
            self.begin,
            concurrency=gateway.audit_concurrency,
            queue=gateway.audit_queue,
            max_response_bytes=gateway.max_recorded_response_bytes,
        )

    async def start(self) -> None:
        """Start the policy watch and wait, not for long, for its first look."""
        self.settings.data.mkdir(parents=True, exist_ok=True)
        self.metrics.open(self.settings.data / FOLDER)
        self._tick.start()
        self.watch.start()
        await asyncio.gather(asyncio.to_thread(self.watch.wait_polled, FIRST_POLL_SECONDS), self.access.start())
        if self.shadows is not None:
            await asyncio.to_thread(self.shadows.warm_up)

    async def stop(self) -> None:
        """Work off the audits for a few seconds, then close everything; what was recorded is synced."""
        await asyncio.gather(*(queue.drain(DRAIN_SECONDS) for queue in (*self._queues(), *self._leaving)))
        await self.upstreams.aclose()
        await asyncio.gather(*(upstream.aclose() for upstream in tuple(self._retired)))
        await asyncio.gather(asyncio.to_thread(self.watch.stop), self.access.stop(), self.admin.close())
        await asyncio.to_thread(self.journal.close)
        await asyncio.to_thread(self.telemetry.close)
        self._tick.stop()
        self.metrics.close()
        if self.cache is not None:
            await asyncio.to_thread(self.cache.close)

    def _queues(self) -> list[Audits]:
        return [self.audits] if self.shadows is None else [self.audits, self.shadows]

    def prepare(self, settings: Settings) -> Ready:
        """Build what other settings need; nothing changes yet. Takes a while: not for the event loop.

        Raises:
            ConfigError: as the constructor.
        """
        if not settings.upstreams:
            raise ConfigError("No upstream is configured.", "Add a table [upstreams.NAME] with a base_url.")
        anew = settings == self.settings  # somebody asked for it: what the settings name may have changed
        upstreams, retired = rebuilt(
            self.upstreams, asked_upstreams(self.settings), asked_upstreams(settings), anew=anew
        )
        return Ready(settings, upstreams, retired, own_key(settings), Telemetry(settings, self.metrics))

    def adopt(self, ready: Ready) -> Telemetry:
        """Put other settings in force for new requests; those under way end as they began.

        Returns:
            What was in force before, for `let_go`.
        """
        settings = ready.settings
        self._leaving = [queue for queue in (*self._leaving, *self._queues()) if queue.busy]
        if settings.cache != self.settings.cache:
            if self.cache is not None:
                self.cache.close(wait=False)
            self.cache = ResponseCache(settings.data, settings.cache) if settings.cache.enabled else None
        self.settings, self.upstreams = settings, ready.upstreams
        self.upstreams.without = self._cut
        self.access.use(ready.own_key)
        self.prices = PriceList(settings.upstreams)
        former, self.telemetry = self.telemetry, ready.telemetry
        self.metrics.know(_models(settings))
        self._owned = frozenset(name for name, upstream in asked_upstreams(settings).items() if upstream.owned)
        self.rates = Rates(self.prices, self._owned)
        self.audits, self.shadows = self._audits(), self._shadows()
        self.watch.use(functools.partial(load_ladder, settings, self.prices))
        self._retired.update(ready.retired)
        return former

    async def let_go(self, ready: Ready, former: Telemetry) -> None:
        """Close what `adopt` has put out of force, as its last exchanges end."""
        for upstream in ready.retired:
            await upstream.retire()
        await asyncio.to_thread(former.close)

    def caller(self, request: Request) -> Caller:
        """Read a request's headers and check its key, before anything else of it is looked at.

        Raises:
            AuthError: the gateway asks for a key, and this is none that is valid.
            StoreError: keys cannot be checked at present.
            RequestError: a freehold header cannot be understood.
        """
        caller = Caller(request)
        caller.admitted(self.access.admit(caller.authorization, caller.api_key))
        return caller

    @property
    def drill(self) -> DrillView | None:
        """The exit drill in force, as these settings see it. Whoever is in a hurry looks at `watch.drill` first."""
        found = self.watch.drill_now
        if found is None:
            return None
        seen, settings = self._drill
        if seen is None or seen.drill is not found or settings is not self.settings:
            seen = DrillView(found, self.settings.upstreams, self.settings.drill.stand_in)
            self._drill = (seen, self.settings)
        return seen

    def _open_control(self) -> ControlStore:
        return ControlStore.open(self.settings.control_url)

    def _cut(self) -> frozenset[str]:
        """The upstreams that an exit drill does without for all requests."""
        drill = self.drill if self.watch.drill is not None else None
        if drill is None or drill.drill.task or drill.drill.share < 1.0 or not drill.drill.in_force(time.time_ns()):
            return frozenset()
        return drill.cut

    def is_owned(self, upstream: str) -> bool:
        """Whether the weights of the models at `upstream` are the organisation's."""
        return upstream in self._owned

    def begin(self, kind: Kind = "request", of: str | None = None) -> Exchange:
        """A new exchange; it is recorded when it finishes."""
        return Exchange(self.recorder, self.metrics, kind, of, self.telemetry)

    def degraded(self) -> list[str]:
        """What does not work, in sentences; traffic flows all the same."""
        found: list[str] = []
        if self.watch.stale:
            found.append(f"Nothing is answered by students: {self.watch.error or 'the policy lease has run out.'}")
        damaged = sorted(student for student, _ in self.watch.view.damaged)
        found += (f"Student {student} cannot be loaded." for student in damaged)
        found += (f"The ladder of {task} cannot be used; see `freehold doctor`." for task in self.watch.view.unusable)
        if self.file is not None and self.file.error is not None:
            found.append(f"The settings from before stay in force: {self.file.error}")
        if self.file is not None and self.file.waiting:
            found.append(f"Changed settings that need a new start: {', '.join(self.file.waiting)}.")
        found += (
            f"Upstream {health.upstream} rests at one of its addresses after {health.failures} failures in a row."
            for health in self.upstreams.health()
            if health.state == "open"
        )
        trouble = self.access.trouble()
        if trouble is not None:
            found.append(trouble)
        if self.recorder.last_error is not None:
            found.append(f"Recording is shed ({self.recorder.shed} so far): {self.recorder.last_error}")
        return found


def _models(settings: Settings) -> list[str]:
    """Names that callers do not invent: they are labels of metrics."""
    served = [model for upstream in settings.upstreams.values() for model in upstream.models]
    return [*served, *settings.candidates.models]
