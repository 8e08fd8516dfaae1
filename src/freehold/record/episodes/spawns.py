"""Which agent started which: by what a tool call hands over, and by what comes back as its result.

An agent starts another by a tool call: the call's arguments hold the other's first prompt (whole, or within a longer
one), and the call's result is the other's last answer. Either of the two is enough; both settle which of several calls
with the same words it was. A call that has its result starts nothing later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from freehold.domain.episodes import LinkedBy
from freehold.record.episodes.chains import SLACK_NS
from freehold.record.episodes.hear import Call, Heard

TELLING_PROMPT = 24
"""Characters of a text that must be contained in another to say something."""
TELLING_RESULT = 40
OPEN_NS = 3600 * 1_000_000_000
"""So long may a call without a result start agents."""
WINDOW = 5
"""Words in a row by which a longer text is looked up."""
MOST_WORDS = 1_000
"""Of a prompt, within which a call's text must begin."""
MOST_WINDOWS = 64
"""Of a call's text, for prompts that are a part of it."""


class Parent(NamedTuple):
    """Who started an agent."""

    run: int
    step: int
    """Place of the step whose answer made the call."""
    call: str
    by: LinkedBy


class _Slot(NamedTuple):
    """A text handed over in a call."""

    run: int
    step: int
    call: str
    text: str
    opened_ns: int
    closed_ns: int | None
    """When the step was asked that had the result; None: no result was seen."""
    result: str


class _Fit(NamedTuple):
    """A slot for an agent; the better one is greater."""

    returned: bool
    within: bool
    """The call was open all the while."""
    opened_ns: int
    slot: int
    run: int


def find_parents(heard: Sequence[Heard], runs: Sequence[Sequence[int]], wanted: Sequence[int]) -> dict[int, Parent]:
    """Who started which agent.

    Args:
        heard: the steps of one caller, in the order of time.
        runs: for each agent its steps, as places in `heard`, in the order of time.
        wanted: the agents (places in `runs`) whose parents are looked for.

    Returns:
        agent → parent, for those found. A parent began before its agent, so there are no cycles.
    """
    slots = sorted(_slots(heard, runs), key=lambda slot: slot.opened_ns)
    if not slots:
        return {}
    fits = _by_prompt(heard, runs, wanted, slots)
    found = _assigned(fits, slots, "prompt")
    for fit in fits:  # sent twice at once: both are answered, and only one goes on
        if fit.run not in found and fit.within:
            found[fit.run] = _parent(slots[fit.slot], "prompt")
    left = [run for run in wanted if run not in found]
    taken = {(parent.step, parent.call) for parent in found.values()}
    free = [slot for slot in slots if (slot.step, slot.call) not in taken]
    return found | _assigned(_by_result(heard, runs, left, free), free, "result")


def _slots(heard: Sequence[Heard], runs: Sequence[Sequence[int]]) -> Iterator[_Slot]:
    for run, steps in enumerate(runs):
        for (step, call), (closed, result) in _results(heard, steps).items():
            for text in call.texts or ("",):
                yield _Slot(run, step, call.id, text, heard[step].end_ns, closed, result.strip())


def _results(heard: Sequence[Heard], steps: Sequence[int]) -> dict[tuple[int, Call], tuple[int | None, str]]:
    """(step, call) → when its result came, and the result. Ids are taken again by later calls, in some runs."""
    found: dict[tuple[int, Call], tuple[int | None, str]] = {}
    open_calls: dict[str, tuple[int, Call]] = {}
    for step in steps:
        for identity, text in heard[step].results:
            call = open_calls.pop(identity, None)
            if call is not None:
                found[call] = (heard[step].at_ns, text)
        for call in heard[step].calls:
            found[step, call] = (None, "")
            open_calls[call.id] = (step, call)
    return found


def _by_prompt(
    heard: Sequence[Heard], runs: Sequence[Sequence[int]], wanted: Sequence[int], slots: Sequence[_Slot]
) -> list[_Fit]:
    same: dict[str, list[int]] = defaultdict(list)
    for at, slot in enumerate(slots):
        same[slot.text].append(at)
    begins, parts = _windows(slots)
    found: list[_Fit] = []
    for run in wanted:
        first = heard[runs[run][0]]
        prompt = first.first.strip()
        if not prompt:
            continue
        for at in same.get(prompt) or _containing(prompt, slots, begins, parts):
            slot = slots[at]
            if slot.run != run and slot.opened_ns - SLACK_NS <= first.at_ns <= slot.opened_ns + OPEN_NS:
                found.append(_fit(heard, runs, run, at, slot))
    return found


def _windows(slots: Sequence[_Slot]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Slots by the window at which their text begins, and by all of its windows.

    The first word counts for none: what stands before a text may be glued to it.
    """
    begins: dict[str, list[int]] = defaultdict(list)
    parts: dict[str, list[int]] = defaultdict(list)
    for at, slot in enumerate(slots):
        windows = _window(slot.text.split(None, MOST_WINDOWS + WINDOW + 1))
        if windows:
            begins[windows[0]].append(at)
        for window in windows[:MOST_WINDOWS]:
            parts[window].append(at)
    return begins, parts


def _window(words: list[str]) -> list[str]:
    return [" ".join(words[at : at + WINDOW]) for at in range(1, len(words) - WINDOW)]


def _containing(
    prompt: str, slots: Sequence[_Slot], begins: dict[str, list[int]], parts: dict[str, list[int]]
) -> list[int]:
    """Places of the slots whose text is within the prompt, or the prompt within it."""
    windows = _window(prompt.split(None, MOST_WORDS)[:MOST_WORDS])
    found = {at for window in windows for at in begins.get(window, ()) if _within(slots[at].text, prompt)}
    if windows:
        found |= {at for at in parts.get(windows[0], ()) if _within(prompt, slots[at].text)}
    return sorted(found)


def _by_result(
    heard: Sequence[Heard], runs: Sequence[Sequence[int]], wanted: Sequence[int], slots: Sequence[_Slot]
) -> list[_Fit]:
    by_line: dict[str, list[int]] = defaultdict(list)
    for at, slot in enumerate(slots):
        for line in {line.strip() for line in slot.result.splitlines()}:
            if len(line) >= TELLING_RESULT:
                by_line[line].append(at)
    found: list[_Fit] = []
    for run in wanted:
        said = heard[runs[run][-1]].said
        line = max((line.strip() for line in said.splitlines()), key=len, default="")
        for at in by_line.get(line, ()):
            fit = _fit(heard, runs, run, at, slots[at])
            if slots[at].run != run and fit.returned and fit.within:
                found.append(fit)
    return found


def _fit(heard: Sequence[Heard], runs: Sequence[Sequence[int]], run: int, at: int, slot: _Slot) -> _Fit:
    first, last = heard[runs[run][0]], heard[runs[run][-1]]
    within = slot.opened_ns <= first.at_ns + SLACK_NS and (
        slot.closed_ns is None or last.end_ns <= slot.closed_ns + SLACK_NS
    )
    return _Fit(bool(last.said) and last.said in slot.result, within, slot.opened_ns, at, run)


def _assigned(fits: list[_Fit], slots: Sequence[_Slot], by: LinkedBy) -> dict[int, Parent]:
    """Each agent its best slot, each slot at most one agent, the best fits first."""
    found: dict[int, Parent] = {}
    used: set[int] = set()
    for fit in sorted(
        fits, key=lambda fit: (fit.returned, fit.within, fit.opened_ns, -fit.slot, -fit.run), reverse=True
    ):
        if fit.run not in found and fit.slot not in used:
            used.add(fit.slot)
            found[fit.run] = _parent(slots[fit.slot], by)
    return found


def _parent(slot: _Slot, by: LinkedBy) -> Parent:
    return Parent(slot.run, slot.step, slot.call, by)


def _within(part: str, whole: str) -> bool:
    return len(part) >= TELLING_PROMPT and part in whole
