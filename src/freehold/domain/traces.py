"""What is recorded: one exchange (`Trace`) or a later judgement of it (`Feedback`). Wire data, frozen."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

TRACE_VERSION = 2

Kind = Literal["request", "audit", "repeat", "rung", "shadow", "judge", "drill"]
"""`request`: a caller's; `audit`: the incumbent asked about a rung's answer; `repeat`: the incumbent asked twice;
`rung`: a rung asked in vain, or once more; `shadow`: a candidate asked about an answer of the incumbent's;
`judge`: a model asked which of two answers is better; `drill`: the incumbent asked about an answer given in an exit
drill."""
KINDS: tuple[Kind, ...] = get_args(Kind)

Api = Literal["chat", "messages", "responses", "completions", "embeddings", "other"]
"""Which API a request was made by, and so what its bodies are: OpenAI's chat completions, Anthropic's Messages,
OpenAI's Responses, legacy completions and embeddings, or anything else, which is passed through unread."""
TASK_APIS: frozenset[Api] = frozenset(("chat", "messages"))
"""Requests by these may belong to tasks; all others are recorded and priced, and never move."""

Linked = Literal["", "header", "url", "traceparent", "session", "conversation", "response-id", "inferred"]
"""How an exchange was placed in its episode: `header`: x-freehold-episode; `url`: a base URL below /r; `traceparent`:
W3C Trace Context; `session`: the session that an agent's harness names; `conversation`: one kept by the provider;
`response-id`: OpenAI's previous_response_id; `inferred`: from the messages alone. Empty: not by us (imported, or in
none)."""


class Trace(msgspec.Struct, frozen=True, kw_only=True, tag="trace", omit_defaults=True):
    """One exchange, byte for byte, with who answered it, why, and under which policy.

    Bodies are the raw bytes on the wire; what can be derived from them (answer text, tokens, cost) is derived when
    the journal is sealed, not in the request's path.
    """

    version: int = TRACE_VERSION
    trace_id: str
    at_ns: int
    """Unix nanoseconds when the request had been read."""
    kind: Kind = "request"
    api: Api = "chat"
    of: str | None = None
    """For anything but a request or a judge: the trace it belongs to."""
    task: str = ""
    task_name: str = ""
    """The name the caller gave the task; empty if it was discovered."""
    fingerprint: str = ""
    model: str = ""
    """The model the caller asked for; of a judge, the judge's."""
    answered_by: str = ""
    """`upstream-name/model` or `student/student-id`; empty if nobody answered."""
    owned: bool = False
    policy: int = 0
    certificate: str | None = None
    reason: str = ""
    """Why this rung answered: see `freehold.domain.policy.Reason`."""
    signal: float | None = None
    """What the rung was accepted or refused by: a student's confidence, or the loss that a router expects."""
    novelty: float | None = None
    audit_probability: float = 0.0
    """The probability with which this owned answer was to be audited (its propensity); for a request that a rung
    escalated, the audit rate at the time, to which such requests are thinned where a fair sample is wanted. Of a
    shadow: the probability with which the candidates were to be asked about this request."""
    audited: bool = False
    status: int = 0
    """HTTP status sent to the caller; 0 if the caller left before a status was sent."""
    error: str | None = None
    """`code: message` of what went wrong, if anything did."""
    stream: bool = False
    request: bytes = b""
    response: bytes = b""
    truncated: bool = False
    """The response was longer than the recording limit; the caller still got all of it."""
    first_byte_us: int = 0
    duration_us: int = 0
    attempts: tuple[str, ...] = ()
    """Upstreams that were tried, in order, when there was more than one try."""
    cached: bool = False
    """The answer came from the gateway's own cache: nobody was asked, and nothing is billed."""
    key: str | None = None
    """The id of the virtual key the caller used."""
    episode: str | None = None
    """The agent run that the exchange belongs to."""
    agent: str | None = None
    """Which of the run's agents asked, as the caller names it."""
    parent: str | None = None
    """In an episode: the trace, the agent or the span that brought this one about."""
    linked: Linked = ""
    subject: str | None = None
    """Whose data this is, as the caller names them: what `freehold forget` deletes by."""
    source: str = ""
    """How it came here, if not through the gateway: the format it was imported from, or `otlp`."""
    traceparent: str | None = None
    """`trace id-span id` of the exchange's OpenTelemetry span, as W3C Trace Context writes them, if it has one."""


class Feedback(msgspec.Struct, frozen=True, kw_only=True, tag="feedback", omit_defaults=True):
    """A later judgement of a trace, or of an episode and so of all its steps: score in [0, 1], the right label, an
    edit, a comment."""

    version: int = TRACE_VERSION
    feedback_id: str
    trace_id: str
    """Empty where an episode is judged."""
    episode: str | None = None
    at_ns: int
    score: float | None = None
    label: str | None = None
    edit: str | None = None
    comment: str | None = None
    key: str | None = None


Record = Trace | Feedback
"""Anything the journal holds."""
