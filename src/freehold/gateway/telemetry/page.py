"""From the workers' counts to Prometheus' page: counters added up, gauges side by side, tokens priced."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from freehold.gateway.telemetry.exposition import Samples, exposition
from freehold.gateway.telemetry.families import FAMILIES, FIRST_BYTE_SLOT
from freehold.gateway.telemetry.gather import Sums, WorkerCounts, add

Price = Callable[[str, str, int, int, int], float | None]
"""(upstream, model, tokens in, cached ones of them, tokens out) → dollars; None: no price is known."""

_TOKEN_KINDS = ("input", "cached", "output")


def page(workers: Sequence[WorkerCounts], former: Sums, price: Price | None) -> str:
    """The text. `former`: what workers counted whose files are gone."""
    sums = {name: slots for name, slots in former.items() if not _is_gauge(name[0])}
    shown = _Shown()
    for worker in workers:
        add(sums, {name: slots for name, slots in worker.series.items() if not _is_gauge(name[0])})
        for (family, labels), slots in worker.series.items() if worker.alive else ():
            if _is_gauge(family):
                shown.put(family, (worker.worker, *labels), slots)
    for (family, labels), slots in sums.items():
        if family == "exchanges":
            _put_requests(shown, labels, slots)
        elif family == "tokens":
            _put_tokens(shown, labels, slots, price)
        elif family in FAMILIES:  # what another version counted is not for this one to explain
            shown.put(family, labels, slots)
    return exposition(shown.samples)


class _Shown:
    """What the page will show; the same labels twice are added up."""

    def __init__(self) -> None:
        self.samples: Samples = {}

    def put(self, family: str, labels: tuple[str, ...], slots: Sequence[float]) -> None:
        series = self.samples.setdefault(family, {})
        known = series.get(labels)
        series[labels] = slots if known is None else [a + b for a, b in zip(known, slots, strict=True)]


def _is_gauge(family: str) -> bool:
    known = FAMILIES.get(family)
    return known is not None and known.kind == "gauge"


def _put_requests(shown: _Shown, labels: tuple[str, ...], slots: list[int]) -> None:
    api, model, upstream, status, reason, owned = labels
    shown.put("requests", (api, model, upstream, status, reason), slots[:1])
    shown.put("request_seconds", (api, upstream), slots[1:FIRST_BYTE_SLOT])
    if any(slots[FIRST_BYTE_SLOT:]):
        shown.put("first_byte_seconds", (api, upstream), slots[FIRST_BYTE_SLOT:])
    shown.put("owned_requests", (api, model), slots[:1] if owned == "1" else [0])


def _put_tokens(shown: _Shown, labels: tuple[str, ...], slots: list[int], price: Price | None) -> None:
    model, upstream, owned = labels
    given, cached, said = slots
    for kind, count in zip(_TOKEN_KINDS, slots, strict=True):
        shown.put("tokens", (model, upstream, owned, kind), [count])
    if owned == "1" or price is None:
        return
    dollars = price(upstream, model, given, cached, said)
    if dollars is None:
        shown.put("tokens_unpriced", (model, upstream), [given + said])
    else:
        shown.put("dollars", (model, upstream), [dollars])
