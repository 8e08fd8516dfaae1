"""From a trace to its derived columns: the answer, its tokens, their cost. Done when sealing, off the hot path."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from freehold.config import UpstreamSettings
from freehold.domain.chat import text_of
from freehold.domain.errors import RequestError
from freehold.domain.traces import TASK_APIS, Trace
from freehold.record.answers import Answer, Usage, read_answer
from freehold.record.prices import PriceList
from freehold.rights import OWN, dated, terms_of_upstreams
from freehold.store.traces.derived import Derived
from freehold.upstreams.matching import ModelMap
from freehold.upstreams.translate import chat_request

BYTES_PER_TOKEN = 4
"""Where the upstream did not say how many tokens there were."""


class _Completion(msgspec.Struct):
    """A legacy completion's request, where its prompt is text."""

    prompt: str | list[str]


_completion = msgspec.json.Decoder(_Completion)


class Deriver:
    """Call it with a trace; give it to `freehold.store.traces.read` to see traces that are not sealed yet."""

    def __init__(self, upstreams: Mapping[str, UpstreamSettings]) -> None:
        self._prices = PriceList(upstreams)
        self._models = ModelMap({name: settings.models for name, settings in upstreams.items()})
        self._terms = {name: dated(terms) for name, terms in terms_of_upstreams(upstreams).items()}

    def __call__(self, trace: Trace) -> Derived:
        """The derived columns of `trace`. Never raises: what cannot be read stays empty."""
        upstream, _, model = trace.answered_by.partition("/")
        answer = read_answer(trace.response, stream=trace.stream, api=trace.api)
        answer_model = answer.model or model
        if not trace.answered_by or trace.status >= 400:  # nothing was answered, so nothing is billed
            return Derived(upstream=upstream, answer_model=answer_model)
        derived = Derived(
            answer=answer.text,
            finish_reason=answer.finish_reason,
            upstream=upstream,
            answer_model=answer_model,
            terms=OWN if trace.owned else self._terms.get(upstream, "unknown"),
        )
        if trace.cached:  # no tokens were used for it
            return msgspec.structs.replace(derived, price_source="cached")
        return self._with_cost(_with_tokens(derived, trace, answer), trace, model, answer.usage)

    def _with_cost(self, derived: Derived, trace: Trace, model: str, usage: Usage | None) -> Derived:
        if trace.owned:
            return self._with_incumbent_cost(msgspec.structs.replace(derived, price_source="owned"), trace)
        if not derived.tokens_source:
            return derived
        # What was asked for is no name of what answered where a candidate did.
        names = tuple(dict.fromkeys(name for name in (model or trace.model, derived.answer_model) if name))
        cost, source = self._prices.cost(
            derived.upstream,
            names,
            input=derived.input_tokens,
            cached=derived.cached_input_tokens,
            output=derived.output_tokens,
            at_ns=trace.at_ns,
            written=derived.cache_write_tokens,
            written_hour=usage.written_hour if usage is not None else 0,
        )
        derived = msgspec.structs.replace(derived, cost_nanousd=cost, price_source=source)
        if trace.kind == "request" and trace.reason == "accepted":  # a rented model of a ladder
            return self._with_incumbent_cost(derived, trace)
        return derived

    def _with_incumbent_cost(self, derived: Derived, trace: Trace) -> Derived:
        """What the model that was asked for would have cost at its upstream, had no rung answered."""
        if not (derived.tokens_source and trace.model):
            return derived
        cost, source = self._prices.cost(
            self._models.find(trace.model) or "",
            (trace.model,),
            input=derived.input_tokens,
            cached=derived.cached_input_tokens,
            output=derived.output_tokens,
            at_ns=trace.at_ns,
        )
        return msgspec.structs.replace(derived, incumbent_cost_nanousd=cost, incumbent_price_source=source)


def _with_tokens(derived: Derived, trace: Trace, answer: Answer) -> Derived:
    usage = answer.usage
    if usage is not None:
        return msgspec.structs.replace(
            derived,
            input_tokens=usage.input,
            cached_input_tokens=usage.cached,
            cache_write_tokens=usage.written,
            output_tokens=usage.output,
            # A student's own count is an estimate too: it has no tokenizer.
            tokens_source="estimated" if trace.owned else "measured",
        )
    given = _prompt_bytes(trace)
    if given is None:  # neither counted nor read: what it cost is not known
        return derived
    said = len((answer.text or "").encode())
    return msgspec.structs.replace(
        derived,
        input_tokens=-(-given // BYTES_PER_TOKEN),
        output_tokens=-(-said // BYTES_PER_TOKEN),
        tokens_source="estimated",
    )


def _prompt_bytes(trace: Trace) -> int | None:
    """Bytes of text in a request whose answer did not say its tokens; None if it cannot be read."""
    if trace.api in TASK_APIS:
        try:
            messages = chat_request(trace.request, trace.api).messages
        except RequestError:
            return None
        return sum(len((text_of(message) or "").encode()) for message in messages)
    if trace.api == "completions":
        try:
            prompt = _completion.decode(trace.request).prompt
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return sum(len(text.encode()) for text in ([prompt] if isinstance(prompt, str) else prompt))
    return None
