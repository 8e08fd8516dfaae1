"""Asks candidates about a random share of what the incumbent answered, so that there is evidence before anything moves.

One draw per request for all candidates together: a request has an answer of each, or of none. Once a rung is in force,
accepted requests are drawn among those that are audited, so that what it accepts and what it leaves to the incumbent
stay in one fair sample (see `freehold.curate.shadows`).

What is spent in a day is bounded (see `DailyBudget`): before a candidate is asked, its estimated price is put aside,
and corrected afterwards. So the bound is overdrawn by no more than the calls under way cost above their estimates.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

import structlog

from freehold.config import CandidateSettings, TaskSettings, UpstreamSettings
from freehold.domain.chat import ChatRequest, model_can_answer, student_input
from freehold.domain.errors import ModelNotFound
from freehold.gateway.background.audits import Audits, Background, Question
from freehold.gateway.background.budget import DailyBudget
from freehold.gateway.caller import Caller
from freehold.gateway.exchange import Exchange
from freehold.record.answers import read_answer
from freehold.record.prices import PriceList
from freehold.route import why_unusable
from freehold.upstreams.directory import UpstreamDirectory

_log = structlog.get_logger()
BYTES_PER_TOKEN = 4
EXPECTED_OUTPUT_TOKENS = 1000
"""Put aside per answer, whose length is not known before."""
_SELECTED = frozenset(("pinned", "unsupported"))
"""The caller wants the incumbent, or what no candidate may be asked for."""


class Shadows(Audits):
    """Background questions to candidates, within a daily budget."""

    def __init__(
        self,
        candidates: CandidateSettings,
        tasks: Mapping[str, TaskSettings],
        settings: Mapping[str, UpstreamSettings],
        prices: PriceList,
        budget: DailyBudget,
        upstreams: UpstreamDirectory,
        outcomes: Counter[str],
        begin: Callable[[Background, str], Exchange],
        *,
        concurrency: int,
        queue: int,
        max_response_bytes: int,
    ) -> None:
        """`settings`: of the upstreams, by name; see `Audits` for the rest."""
        super().__init__(
            upstreams, outcomes, begin, concurrency=concurrency, queue=queue, max_response_bytes=max_response_bytes
        )
        self.rate = candidates.rate
        self._candidates = candidates
        self._kept = frozenset(name for name, task in tasks.items() if not task.move)
        self._settings = settings
        self._prices = prices
        self._budget = budget
        self._usable: dict[tuple[str, str], bool] = {}

    def about(
        self,
        exchange: Exchange,
        request: ChatRequest,
        body: bytes,
        upstream: str,
        caller: Caller,
        probability: float,
    ) -> None:
        """Ask every candidate about one request that the incumbent answers too, drawn with this probability.

        `body` is the request as a chat completion's; the caller's keys go to `upstream` only.
        """
        moves = exchange.task not in self._kept and exchange.task_name not in self._kept
        if exchange.reason in _SELECTED or not moves or not model_can_answer(request) or not student_input(request):
            return
        for model in self._candidates.models:
            if model == request.model or not self._may_ask(model, request.model):
                continue
            where = self._upstreams.find(model)
            elsewhere = where != upstream
            asked = Question(
                "shadow",
                exchange,
                where,
                body,
                caller,
                model=model,
                elsewhere=elsewhere,
                probability=probability,
                logprobs=self._candidates.logprobs,
            )
            for _ in range(self._candidates.samples):
                self.put(asked)

    def warm_up(self) -> None:
        """Look up the candidates' list prices, which takes a while the first time. Called in a thread."""
        for model in self._candidates.models:
            try:
                self._price(model, 0, 0, 0)
            except ModelNotFound as error:
                _log.warning("candidate-not-asked", model=model, error=str(error))

    async def _ask(self, asked: Question) -> bytes | None:
        model = asked.model or ""
        estimate = self._price(model, len(asked.body) // BYTES_PER_TOKEN, 0, EXPECTED_OUTPUT_TOKENS)
        promise = None if estimate is None else self._budget.promise(estimate)
        if promise is None:
            self._outcomes["unaffordable"] += 1
            return None
        answer = None
        try:
            answer = await super()._ask(asked)
        finally:  # a candidate that does not answer bills nothing
            self._budget.settle(promise, 0 if answer is None else self._billed(model, answer, promise.nano))
        return answer

    def _billed(self, model: str, answer: bytes, otherwise: int) -> int:
        """Nano-dollars of an answer by its usage; `otherwise` where it does not say."""
        usage = read_answer(answer, stream=False).usage
        found = None if usage is None else self._price(model, usage.input, usage.cached, usage.output)
        return otherwise if found is None else found

    def _price(self, model: str, given: int, cached: int, said: int) -> int | None:
        """Nano-dollars of so many tokens; None if nobody knows. What you own and gave no price costs nothing here."""
        name = self._upstreams.find(model)
        nano, source = self._prices.cost(name, (model,), input=given, cached=cached, output=said, at_ns=time.time_ns())
        if source == "none":
            return 0 if self._settings[name].owned else None
        return nano

    def _may_ask(self, model: str, incumbent: str) -> bool:
        pair = (model, incumbent)
        if pair not in self._usable:
            if len(self._usable) > 1000:  # callers choose the incumbent's name
                self._usable = {}
            self._usable[pair] = not why_unusable(self._settings, model, incumbent)
        return self._usable[pair]
