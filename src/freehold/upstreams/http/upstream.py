"""One provider, or several deployments of one: sends requests, balances and tries again until an answer begins."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from freehold.domain.errors import ConfigError, UpstreamError, UpstreamResting
from freehold.upstreams.anthropic import FOREIGN
from freehold.upstreams.base import Call, Headers, Sink, UpstreamRequest
from freehold.upstreams.health import Health
from freehold.upstreams.http.backoff import LONGEST_RETRY_AFTER_SECONDS, back_off, retry_after
from freehold.upstreams.http.balance import Balance
from freehold.upstreams.http.budget import RetryBudget
from freehold.upstreams.http.checks import Checks
from freehold.upstreams.http.connect import Connector
from freehold.upstreams.http.connection import Timeouts
from freehold.upstreams.http.deployment import Deployment
from freehold.upstreams.http.origin import Origin
from freehold.upstreams.http.pool import Pool
from freehold.upstreams.http.proxy import Proxy, proxy_from_environment
from freehold.upstreams.http.sending import Sending, Timer
from freehold.upstreams.reading import Answer

_jitter = random.Random()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is served."""

    base_url: str
    api_key: str | None = None
    """Replaces the caller's Authorization."""
    weight: int = 1
    """Share of the requests, in proportion to the others'."""


@dataclass(frozen=True, slots=True)
class Options:
    """How an upstream is treated; times in seconds."""

    connect_timeout: float = 5.0
    first_byte_timeout: float = 120.0
    idle_timeout: float = 60.0
    retries: int = 2
    max_connections: int = 1000
    """Of each deployment."""
    private: bool = False
    """Its names may lead to addresses that are not public."""
    ca_file: str = ""
    """PEM file with the authorities to trust; empty: the system's."""
    proxy: str = ""
    """URL of an HTTP proxy to go through."""
    trust_env_proxy: bool = False
    """Without `proxy`, go through the one that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name."""
    health_path: str = ""
    """Asked for at each deployment's root every `health_interval`; empty: not."""
    health_interval: float = 10.0
    hedge_after: float = 0.0
    """Without an answer by then a second deployment is asked as well; 0: never."""
    protocol: Literal["openai", "anthropic"] = "openai"
    """What it speaks; requests by the other are translated, and their answers back."""
    max_tokens: int = 16_384
    """See `freehold.upstreams.translate.Options`, and so the next two."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    extensions: bool = False


class HttpUpstream:
    """See `freehold.upstreams.base.Upstream`; also the `freehold.upstreams.http.sending.Plan` of its requests."""

    def __init__(
        self,
        name: str,
        places: str | Sequence[Place],
        options: Options | None = None,
        *,
        jitter: Callable[[], float] = _jitter.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            name: what it is called in the configuration.
            places: its deployments; or the base URL of the only one, which takes the caller's own key.
            options: how it is treated.
            jitter: draws from [0, 1).
            clock: seconds that only grow.

        Raises:
            ConfigError: a URL cannot be used, or there is no deployment.
        """
        options = options or Options()
        if isinstance(places, str):
            places = (Place(places),)
        if not places:
            raise ConfigError(
                f"Upstream {name!r} is served nowhere.", "Give it a base_url, or deployments with one each."
            )
        self.name = name
        self.protocol: str = options.protocol
        self._options = options
        self._foreign = FOREIGN[options.protocol]
        if options.protocol == "anthropic":
            import_module("freehold.upstreams.anthropic.requests")  # needed soon: not first while callers wait
        self.hedge_after = options.hedge_after
        self.deployments = tuple(_deployment(name, place, options, clock) for place in places)
        self.origin = " ".join(sorted({deployment.origin for deployment in self.deployments}))
        self._retries = options.retries
        self._balance = Balance(self.deployments)
        self._budget = RetryBudget(clock)
        self._jitter = jitter
        self._checks = _checks(self.deployments, places, options) if options.health_path else ()

    def start(self, request: UpstreamRequest, sink: Sink) -> Call:
        """Send, and push the answer.

        Retried are connect errors and statuses that a retry may cure; on another deployment, if there is one, also
        answers that do not begin. After the last try the upstream's own answer is passed on, whatever its status.
        `sink.fail` hears UpstreamUnreachable, UpstreamTimeout, UpstreamProtocolError or UpstreamResting.

        Raises:
            RequestError: the request is by a protocol that this upstream does not speak, and cannot be translated.
        """
        self._budget.request()
        for check in self._checks:
            check.start()
        if request.path.startswith(self._foreign):
            return self._start_translated(request, sink)
        return Sending(self, request, sink)

    def _start_translated(self, request: UpstreamRequest, sink: Sink) -> Call:
        from freehold.upstreams.anthropic.requests import translated  # most gateways never need it
        from freehold.upstreams.translate import Options as Translation

        options = self._options
        wanted = Translation(
            max_tokens=options.max_tokens, max_tokens_field=options.max_tokens_field, extensions=options.extensions
        )
        asked, answered = translated(self.name, options.protocol, request, sink, wanted)
        answered.call = Sending(self, asked, answered)
        return answered.call

    async def send(self, request: UpstreamRequest) -> Answer:
        """See `freehold.upstreams.base.Upstream`."""
        answer = Answer()
        await answer.head(self.start(request, answer))
        return answer

    async def retire(self) -> None:
        """Let exchanges under way end, keep no connection beyond them, and check no health any more."""
        for check in self._checks:
            await check.aclose()
        for deployment in self.deployments:
            deployment.pool.retire()

    async def aclose(self) -> None:
        """Close all connections."""
        for check in self._checks:
            await check.aclose()
        for deployment in self.deployments:
            await deployment.pool.aclose()

    def health(self) -> list[Health]:
        """How each deployment does."""
        return [deployment.health() for deployment in self.deployments]

    # What a request on its way asks.

    def choose(self, tried: Collection[Deployment]) -> Deployment | None:
        """See `freehold.upstreams.http.sending.Plan`."""
        return self._balance.choose(tried)

    def hedge(self, tried: Collection[Deployment]) -> Deployment | None:
        """See `freehold.upstreams.http.sending.Plan`; a second request counts as a retry."""
        if self._balance.another(tried) and self._budget.draw():
            return self._balance.choose(tried)
        return None

    def again(self, tried: Collection[Deployment], wanted: float | None, *, elsewhere: bool) -> float | None:
        """See `freehold.upstreams.http.sending.Plan`: at once elsewhere, here after a pause."""
        attempt = len(tried) - 1
        if attempt >= self._retries:
            return None
        if self._balance.another(tried):
            pause = 0.0
        elif elsewhere or not self._balance.ready():
            return None
        elif wanted is None:
            pause = back_off(attempt, self._jitter)
        elif wanted <= LONGEST_RETRY_AFTER_SECONDS:
            pause = wanted
        else:
            return None
        return pause if self._budget.draw() else None

    def wanted(self, headers: Headers) -> float | None:
        """See `freehold.upstreams.http.sending.Plan`."""
        return retry_after(headers)

    def resting(self) -> UpstreamError:
        """See `freehold.upstreams.http.sending.Plan`."""
        seconds = self._balance.rest()
        last = next((deployment.last_error for deployment in self.deployments if deployment.last_error), "unknown")
        return UpstreamResting(
            f"Upstream {self.name!r} has failed repeatedly and is not asked for {seconds:.1f} seconds; last: {last}",
            "Try again later, or give it fallbacks.",
            retry_after=seconds,
        )

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """See `freehold.upstreams.http.sending.Plan`."""
        return asyncio.get_running_loop().call_later(seconds, callback)


def _deployment(
    name: str, place: Place, options: Options, clock: Callable[[], float], *, at_root: bool = False
) -> Deployment:
    """A deployment with a pool of its own; `at_root`: without the path of its base URL, and one connection only."""
    origin = Origin(place.base_url)
    if at_root:
        origin.path = origin.prefix = b""
    url = options.proxy
    if not url and options.trust_env_proxy:
        url = proxy_from_environment(origin.host, origin.port, tls=origin.tls)
    proxy = Proxy(url) if url else None
    if proxy is not None and not origin.tls:
        origin.relayed(proxy.credentials)
    connector = Connector(name, origin, private=options.private, ca_file=options.ca_file, proxy=proxy)
    timeouts = Timeouts(options.connect_timeout, options.first_byte_timeout, options.idle_timeout)
    pool = Pool(name, connector, timeouts, 1 if at_root else options.max_connections)
    return Deployment(
        name, origin, pool, api_key=place.api_key, protocol=options.protocol, weight=place.weight, clock=clock
    )


def _checks(deployments: Sequence[Deployment], places: Sequence[Place], options: Options) -> tuple[Checks, ...]:
    return tuple(
        Checks(
            deployment,
            _deployment(deployment.name, place, options, time.monotonic, at_root=True),
            options.health_path,
            options.health_interval,
        )
        for deployment, place in zip(deployments, places, strict=True)
    )
