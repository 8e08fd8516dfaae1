"""Traces in, shadowed requests out: what the incumbent and the candidates answered to the same requests.

Only requests drawn from all of a task's traffic with one probability count. Where the incumbent answers everything, a
share s of the requests is drawn for the candidates. Once a rung is in force, what it accepts reaches the candidates
through audits: at rate a the incumbent is asked, and the candidates about so many of these that a share min(a, s) of
all accepted requests is drawn. Escalated requests are drawn with probability s, and thinned here to min(a, s) by a hash
of their id. At any time the rate is the same for every request, so nothing is thinned further where rates have changed:
a time with a higher rate has more rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import polars as pl

from freehold.curate.answers import AnswerRights
from freehold.curate.samples import ESCALATED, UNSELECTED, incumbent_model, prompt_share, share_of
from freehold.domain.answers import mean_logprob
from freehold.domain.chat import ChatRequest, model_can_answer, student_can_answer, student_input
from freehold.domain.errors import RequestError
from freehold.domain.evidence import Part
from freehold.domain.traces import Api
from freehold.store.traces.read import read_traces
from freehold.upstreams.translate import chat_request

if TYPE_CHECKING:
    from freehold.domain.tasks import Task
    from freehold.store import Store

_COLUMNS = ("trace_id", "of", "at_ns", "kind", "api", "cached", "model", "answered_by", "reason", "status", "error",
            "truncated", "answer", "finish_reason", "request", "stream", "audit_probability", "input_tokens",
            "output_tokens", "cost_nanousd", "price_source", "terms", "key", "subject")  # fmt: skip
PARTS: tuple[float, float] = (0.38, 0.46)
"""Below the first, a prompt's hash puts it in fit; below the second in tune; the rest certifies. As
`freehold.loop.ladders.split`, but the same at every attempt."""
PARTS_WITH_STUDENT: tuple[float, float] = (0.52, 0.62)
"""Where a student is a candidate: certify rows are prompts that its own fit part does not hold."""


class Answer(NamedTuple):
    """What one model gave."""

    text: str | None
    """None: no text (tool calls, say)."""
    trace_id: str
    nano: int | None
    """10⁻⁹ dollars; None where its price is unknown."""
    upstream: str
    terms: str
    """Id of the terms that it was got under."""
    logprob: float | None = None
    """Mean over its tokens, where it was asked for and given."""
    again: tuple[str, ...] = ()
    """Texts of further answers to the same request."""


class Shadowed(NamedTuple):
    """One request with the incumbent's answer and those of candidates."""

    trace_id: str
    at_ns: int
    request: ChatRequest
    prompt: str
    share: float
    """Hash of the prompt, which says its part."""
    incumbent: Answer
    answers: Mapping[str, Answer]
    """By model."""
    failed: frozenset[str]
    """Candidates that were asked and gave no answer."""
    streamed: bool
    input_tokens: int
    output_tokens: int

    @property
    def for_student(self) -> bool:
        """Whether a student of closed answers could answer."""
        return student_can_answer(self.request)


def part_of(share: float, shares: tuple[float, float]) -> Part:
    """The part of the evidence that a prompt of this hash belongs to."""
    return "fit" if share < shares[0] else "tune" if share < shares[1] else "certify"


def count_shadows(store: Store, since: Mapping[str, int]) -> dict[str, int]:
    """Task → requests about which some candidate has answered since the given time (0 where none is given)."""
    frame = read_traces(store, kinds=("shadow",), columns=("task", "of", "at_ns", "status", "owned"))
    starts = pl.DataFrame(
        {"task": list(since), "since": list(since.values())}, schema={"task": pl.String, "since": pl.Int64}
    )
    counted = (
        frame.filter((pl.col("status") == 200) & ~pl.col("owned"))
        .join(starts, on="task", how="left")
        .filter(pl.col("at_ns") >= pl.col("since").fill_null(0))
        .group_by("task")
        .agg(pl.col("of").n_unique())
    )
    return dict(counted.iter_rows())


def collect_shadows(
    store: Store, task: Task, most: int, rights: AnswerRights, *, logprobs: bool = False
) -> tuple[list[Shadowed], Counter[str]]:
    """The task's shadowed requests since its last rollback, oldest first and at most the newest `most`; and how many
    were left out, by reason; without what was recalled. `logprobs`: look for those in what candidates gave.

    Raises:
        StoreError: the traces cannot be read.
    """
    shadows = read_traces(
        store,
        task=task.task_id,
        kinds=("shadow",),
        since_ns=task.evidence_since_ns,
        columns=(*_COLUMNS, "owned", "response") if logprobs else (*_COLUMNS, "owned"),
    ).filter(~pl.col("owned"))  # a student's before its canary: see `freehold.monitor.rehearsal`
    wanted = shadows.get_column("of").unique(maintain_order=True).to_list()[-most:]
    requests = read_traces(store, trace_ids=wanted, since_ns=task.evidence_since_ns, columns=_COLUMNS)
    audits = read_traces(store, task=task.task_id, kinds=("audit",), since_ns=task.evidence_since_ns, columns=_COLUMNS)
    asked = _by_request(row for row in shadows.iter_rows(named=True) if not rights.recalled(row))
    audit_of = {row["of"]: row for row in audits.filter(pl.col("of").is_in(wanted)).iter_rows(named=True)}
    model = incumbent_model(requests)
    found: list[Shadowed] = []
    left_out: Counter[str] = Counter()
    for row in requests.iter_rows(named=True):
        about = asked.get(row["trace_id"], {})
        source = audit_of.get(row["trace_id"]) if row["reason"] == "accepted" else row
        reason = rights.recalled(row) or (rights.recalled(source) if source is not None else "")
        reason = reason or (_why_not(row, source, model, about) if about else "every candidate's answer was recalled")
        request = None if reason else _parsed(row["request"], row["api"])
        prompt = student_input(request) if request is not None and model_can_answer(request) else None
        if reason or request is None or source is None or prompt is None:
            left_out[reason or "not plain text"] += 1
            continue
        found.append(_shadowed(task, row, source, request, prompt, about, rights))
    return found, left_out


_About: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
"""Candidate → its answers, in the order they came."""


def _by_request(shadows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, list[Mapping[str, Any]]]]:
    """Request → what candidates answered."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in shadows:
        found.setdefault(row["of"], {}).setdefault(_asked_model(row), []).append(row)
    return found


def _asked_model(row: Mapping[str, Any]) -> str:
    name = str(row["answered_by"]).partition("/")[2]
    if name:
        return name
    request = _parsed(row["request"], row["api"])  # nobody was reached
    return request.model if request is not None else ""


def _why_not(row: Mapping[str, Any], source: Mapping[str, Any] | None, model: str, about: _About) -> str:
    """Why a request is no evidence; empty if it is. Never for what a candidate answered."""
    if row["model"] != model:
        return "another model"
    if source is None:
        return "accepted, and the incumbent was not asked"
    if source["status"] != 200 or source["error"]:
        return "failed"
    if source["cached"]:
        return "answered from the cache"
    if source["truncated"]:
        return "recorded in part"
    if source["answer"] is None:
        return "no text in the answer"
    if source["finish_reason"] != "stop":
        return f"not finished ({source['finish_reason'] or 'broken off'})"
    if row["reason"] == "accepted" or row["reason"] in UNSELECTED:
        return ""
    if row["reason"] not in ESCALATED:
        return f"answered as {row['reason']}"
    drawn = next(iter(about.values()))[0]["audit_probability"]
    return "" if share_of(row["trace_id"]) * drawn < row["audit_probability"] else "thinned to the rate of audits"


def _shadowed(
    task: Task,
    row: Mapping[str, Any],
    source: Mapping[str, Any],
    request: ChatRequest,
    prompt: str,
    about: _About,
    rights: AnswerRights,
) -> Shadowed:
    whole = {name: answers for name, answers in about.items() if _is_whole(answers[0])}
    return Shadowed(
        trace_id=row["trace_id"],
        at_ns=row["at_ns"],
        request=request,
        prompt=prompt,
        share=prompt_share(task.task_id, prompt),
        incumbent=_answer(rights, source),
        answers={name: _answer(rights, *answers) for name, answers in whole.items()},
        failed=frozenset(about) - frozenset(whole),
        streamed=bool(row["stream"]),
        input_tokens=source["input_tokens"] or 0,
        output_tokens=source["output_tokens"] or 0,
    )


def _is_whole(row: Mapping[str, Any]) -> bool:
    return row["status"] == 200 and not row["error"] and not row["truncated"]


def _answer(rights: AnswerRights, row: Mapping[str, Any], *further: Mapping[str, Any]) -> Answer:
    return Answer(
        text=row["answer"],
        trace_id=row["trace_id"],
        nano=row["cost_nanousd"] if row["price_source"] != "none" else None,
        upstream=str(row["answered_by"]).partition("/")[0],
        terms=rights.verdict(row)[0],
        logprob=mean_logprob(row["response"]) if row.get("response") else None,
        again=tuple(one["answer"] for one in further if _is_whole(one) and one["answer"] is not None),
    )


def _parsed(body: bytes, api: Api) -> ChatRequest | None:
    try:
        return chat_request(body, api)
    except RequestError:
        return None
