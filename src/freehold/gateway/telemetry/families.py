"""Every metric there is: its name, what it says, its labels. `examples/grafana` is drawn from these names."""

from __future__ import annotations

from typing import Literal

import msgspec

PREFIX = "freehold_"
NANO = 1e9

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the histograms, in seconds."""
HISTOGRAM_SLOTS = 1 + len(BUCKETS) + 1
"""The sum in nanoseconds, one for each bucket, and one for what is above them all."""
FIRST_BYTE_SLOT = 1 + HISTOGRAM_SLOTS
REQUEST_SLOTS = FIRST_BYTE_SLOT + HISTOGRAM_SLOTS
"""How requests of one kind are counted, next to each other: their number, the histogram of their durations, and that of
the first bytes of streamed ones. The page adds up over the labels that a metric does not have."""

Kind = Literal["counter", "gauge", "histogram"]


class Family(msgspec.Struct, frozen=True):
    """One metric. Counters are summed over workers; a gauge has one value per living worker, named by a label."""

    kind: Kind
    about: str
    labels: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    "requests": Family(
        "counter",
        "Requests by API, model asked for, who answered, status (0: the caller left before) and why that one answered.",
        ("api", "model", "upstream", "status", "reason"),
    ),
    "owned_requests": Family("counter", "Requests answered by owned models.", ("api", "model")),
    "request_seconds": Family("histogram", "Time from request read to answer recorded.", ("api", "upstream")),
    "first_byte_seconds": Family(
        "histogram", "Time from request read to a streamed answer's first byte.", ("api", "upstream")
    ),
    "tokens": Family(
        "counter",
        "Tokens as upstreams counted them; kind cached is contained in input.",
        ("model", "upstream", "owned", "kind"),
    ),
    "dollars": Family(
        "counter",
        "What these tokens cost at today's prices; the ledger has what they cost on their day.",
        ("model", "upstream"),
    ),
    "tokens_unpriced": Family("counter", "Tokens whose price is not known.", ("model", "upstream")),
    "errors": Family("counter", "Requests that went wrong, by code.", ("code",)),
    "rate_limited": Family("counter", "Requests refused by a limit or a budget of a key or team.", ("code",)),
    "upstream_attempts": Family("counter", "Tries at upstreams, by status or error code.", ("upstream", "outcome")),
    "upstream_retries": Family("counter", "Tries after a first one at the same upstream.", ("upstream",)),
    "upstream_fallbacks": Family("counter", "Tries at an upstream after another one had failed.", ("upstream",)),
    "cache": Family("counter", "What the response cache did for requests.", ("outcome",)),
    "records": Family("counter", "Exchanges recorded.", ()),
    "records_shed": Family("counter", "Records that could not be written.", ()),
    "otlp_items": Family(
        "counter", "Spans and log records taken over OTLP, by what became of them.", ("signal", "outcome")
    ),
    "audits": Family("counter", "Background questions to the incumbent.", ("outcome",)),
    "shadows": Family("counter", "Background questions to candidates.", ("outcome",)),
    "rungs": Family("counter", "Models of ladders, by what came of asking them.", ("model", "outcome")),
    "student_failures": Family("counter", "Students that raised while answering.", ()),
    "telemetry_dropped": Family("counter", "Spans and access lines that could not be sent or kept.", ("what",)),
    "requests_in_flight": Family("gauge", "Requests being answered.", ()),
    "streams_open": Family("gauge", "Streamed answers under way.", ()),
    "connections_open": Family("gauge", "Callers' connections.", ()),
    "upstream_state": Family(
        "gauge",
        "0: it is asked; 1: half-open, one request tries it; 2: left alone after failures; 3: it said 429.",
        ("upstream", "deployment"),
    ),
    "upstream_in_flight": Family("gauge", "Requests under way at a deployment.", ("upstream", "deployment")),
    "policy_version": Family("gauge", "The policy in force.", ()),
    "policy_stale": Family("gauge", "1 while the control store is out of reach.", ()),
    "keys_stale": Family("gauge", "1 while virtual keys and limits cannot be looked up anew.", ()),
    "metrics_private": Family("gauge", "1 if this worker's counts cannot be seen by other workers.", ()),
    "metrics_full": Family("gauge", "1 if some series found no room and are not shown.", ()),
    "resident_bytes": Family("gauge", "Memory that the worker holds.", ()),
    "started_seconds": Family("gauge", "Unix time when the worker started.", ()),
}
"""By name, without `PREFIX` and without the `_total` of counters."""


def exposed_names() -> set[str]:
    """The names as Prometheus sees them, those of histograms' parts among them."""
    names: set[str] = set()
    for name, family in FAMILIES.items():
        if family.kind == "histogram":
            names.update(f"{PREFIX}{name}_{part}" for part in ("bucket", "sum", "count"))
        else:
            names.add(f"{PREFIX}{name}_total" if family.kind == "counter" else PREFIX + name)
    return names
