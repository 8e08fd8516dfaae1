"""Which request goes on from which: an agent sends its history with every step, so each step repeats the one before.

A request goes on from a step if its messages begin with that step's messages and its answer (compared by a rolling
hash of digests, so that each message counts once). What is no exact continuation is found by what is left of the
history: the last exchange, where older messages were cut; the model's own summary, where it took their place. The
same first message alone joins nothing: agents of one kind all begin alike. Where several steps fit, one that nothing
has gone on from yet is preferred, then the latest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from freehold.domain.episodes import Begins
from freehold.record.episodes.digests import combined, extended, rolling
from freehold.record.episodes.hear import Heard

SECOND = 1_000_000_000
SLACK_NS = SECOND
"""Clocks of several gateways differ by less."""
RETRY_NS = 600 * SECOND
"""A first request that failed is sent again within this time, or it is another run's."""
MOST_IDLE_NS = 24 * 3600 * SECOND
"""An agent that was silent for longer is another."""
TELLING = 80
"""Characters that an exchange must have to be known by itself, without what came before it."""
TELLING_ID = 12
"""Characters of a tool call's id from which on it is taken for one of its own kind; some servers count from 0."""
LONG_LINE = 40
"""Characters of a line by which a longer text is looked up."""
MOST_LINES = 8
"""Of one answer, the longest ones."""
MOST_CANDIDATES = 64


class Link(NamedTuple):
    """What a step goes on from; steps are told by their place in the sequence given to `chain`."""

    before: int | None = None
    """The step whose history this one carries on; None: none."""
    begins: Begins | None = "start"
    """Why a segment begins with this step; None: it goes on in the segment of `before` or `retry_of`."""
    retry_of: int | None = None
    forked: int | None = None
    """The step whose history another agent takes along, while its own goes on elsewhere at the same time."""
    handed: int | None = None
    """The step whose answer is in this first prompt."""


def chain(heard: Sequence[Heard]) -> list[Link]:
    """A link for each of `heard`, which are of one caller and in the order of time.

    A step with `before` or `retry_of` belongs to the agent of that step; any other begins one.
    """
    chains = _Chains()
    return [chains.add(one) for one in heard]


class _Chains:
    """Indexes over the steps so far."""

    def __init__(self) -> None:
        self._steps: list[Heard] = []
        self._states: list[bytes] = []
        """Digest of all that a step's request says."""
        self._next: dict[int, list[int]] = defaultdict(list)
        """Step → steps that go on from it."""
        self._ends: dict[bytes, list[int]] = defaultdict(list)
        """Digest of a history with its answer → steps."""
        self._asked: dict[bytes, list[int]] = defaultdict(list)
        """Digest of a first request → steps that failed."""
        self._exchanges: dict[bytes, list[int]] = defaultdict(list)
        """Digest of an answer, and of what was said before it with the answer → steps."""
        self._answers: dict[bytes, list[int]] = defaultdict(list)
        """Digest of an answer with calls that says too little to be known by itself → steps."""
        self._lines: dict[str, list[int]] = defaultdict(list)
        """Long line of an answer → steps."""
        self._responses: dict[str, int] = {}
        self._retried: set[int] = set()

    def add(self, heard: Heard) -> Link:
        """Place one more step."""
        before = self._responses.get(heard.previous_id) if heard.previous_id else None
        history = b"" if before is None else self._end(before)
        places = rolling(heard.digests, history)
        state = places[-1] if places else history
        link = self._link(heard, places, state, before)
        self._remember(heard, state, link)
        return link

    def _link(self, heard: Heard, places: list[bytes], state: bytes, before: int | None) -> Link:
        if before is not None:
            return self._continued(heard, state, before)
        for at in range(len(places) - 1, -1, -1):
            found = self._choose(heard, self._ends.get(places[at])) if heard.spoken[at] else None
            if found is not None:
                return self._continued(heard, state, found)
        return self._again(heard, state) or self._truncated(heard) or self._summed_up(heard) or Link()

    def _continued(self, heard: Heard, state: bytes, before: int) -> Link:
        """An exact continuation of `before`: the first, the same once more, or another."""
        for other in self._next[before]:
            if self._states[other] == state and self._steps[other].instructions == heard.instructions:
                return Link(before, None, retry_of=other)
        gone_on = [other for other in self._next[before] if not self._steps[other].failed]
        if any(self._steps[other].end_ns > heard.at_ns + SLACK_NS for other in gone_on):
            return Link(forked=before)
        if gone_on:
            return Link(before, "branched")
        same = self._steps[before].instructions == heard.instructions
        return Link(before, None if same else "instructed")

    def _choose(self, heard: Heard, candidates: Sequence[int] | None) -> int | None:
        """The likeliest of the steps that have the same history."""
        best: tuple[bool, bool, int] | None = None
        for step in (candidates or ())[-MOST_CANDIDATES:]:
            other = self._steps[step]
            same = other.instructions == heard.instructions
            if self._is_past(other, heard) and (same or _weight(other) >= TELLING):
                rank = (same, not self._next.get(step), step)
                best = rank if best is None else max(best, rank)
        return None if best is None else best[2]

    def _again(self, heard: Heard, state: bytes) -> Link | None:
        """A first request that failed and is sent once more."""
        for step in reversed(self._asked.get(combined((heard.instructions, state)), [])[-MOST_CANDIDATES:]):
            other = self._steps[step]
            if step not in self._retried and self._is_past(other, heard) and heard.at_ns - other.end_ns <= RETRY_NS:
                self._retried.add(step)
                return Link(None, None, retry_of=step)
        return None

    def _truncated(self, heard: Heard) -> Link | None:
        """The last exchange of a history whose beginning is gone."""
        for at in range(len(heard.digests) - 1, 0, -1):
            if heard.spoken[at]:
                for kept in (combined((heard.digests[at - 1], heard.digests[at])), heard.digests[at]):
                    found = self._choose(heard, self._exchanges.get(kept))
                    found = self._only(heard, self._answers.get(kept)) if found is None else found
                    if found is not None:
                        return Link(found, "truncated")
        return None

    def _only(self, heard: Heard, candidates: Sequence[int] | None) -> int | None:
        """The one step with such an answer that nothing has gone on from yet, under the same instructions."""
        found = [
            step
            for step in (candidates or ())[-MOST_CANDIDATES:]
            if not self._next.get(step)
            and self._steps[step].instructions == heard.instructions
            and self._is_past(self._steps[step], heard)
        ]
        return found[0] if len(found) == 1 else None

    def _summed_up(self, heard: Heard) -> Link | None:
        """A first prompt with an answer in it: the same agent's summary of its history, or another agent's work."""
        if not self._lines or any(heard.spoken):
            return None
        for line in heard.first.splitlines():
            text = line.strip()
            for step in reversed(self._lines.get(text, ())[-MOST_CANDIDATES:] if len(text) >= LONG_LINE else ()):
                other = self._steps[step]
                if self._is_past(other, heard) and other.said in heard.first:
                    if other.instructions and other.instructions == heard.instructions and not self._next.get(step):
                        return Link(step, "compacted")
                    return Link(handed=step)
        return None

    def _is_past(self, other: Heard, heard: Heard) -> bool:
        return other.end_ns <= heard.at_ns + SLACK_NS and heard.at_ns - other.end_ns <= MOST_IDLE_NS

    def _end(self, step: int) -> bytes:
        answer = self._steps[step].answer
        return extended(self._states[step], answer) if answer else self._states[step]

    def _remember(self, heard: Heard, state: bytes, link: Link) -> None:
        step = len(self._steps)
        self._steps.append(heard)
        self._states.append(state)
        if link.before is not None:
            self._next[link.before].append(step)
        if heard.failed and link.before is None:
            self._asked[combined((heard.instructions, state))].append(step)
        if heard.response_id:
            self._responses[heard.response_id] = step
        if not heard.answer:
            return
        self._ends[self._end(step)].append(step)
        if heard.digests and _weight(heard) >= TELLING:
            self._exchanges[combined((heard.digests[-1], heard.answer))].append(step)
        if _answer_weight(heard) >= TELLING:
            self._exchanges[heard.answer].append(step)
        elif heard.calls:
            self._answers[heard.answer].append(step)
        if len(heard.said) >= TELLING:
            lines = {text for line in heard.said.splitlines() if len(text := line.strip()) >= LONG_LINE}
            for line in sorted(lines, key=lambda line: (-len(line), line))[:MOST_LINES]:
                self._lines[line].append(step)


def _weight(heard: Heard) -> int:
    """How telling the last exchange is, in characters of it."""
    return _answer_weight(heard) + len(heard.lately) + sum(len(text) for _, text in heard.results)


def _answer_weight(heard: Heard) -> int:
    """The same of the answer alone; ids of calls tell enough."""
    if any(len(call.id) >= TELLING_ID for call in heard.calls):
        return TELLING
    return len(heard.said) + sum(len(text) for call in heard.calls for text in call.texts)
