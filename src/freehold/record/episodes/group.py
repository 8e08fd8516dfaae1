"""Steps into agents, agents into a tree: what callers say first, then what is found from the messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from freehold.domain.episodes import Begins, LinkedBy
from freehold.record.episodes.chains import Link, chain
from freehold.record.episodes.hear import Heard
from freehold.record.episodes.spawns import find_parents


@dataclass
class Run:
    """One agent, while it is put together; steps are places in the sequence given to `grouped`."""

    agent: str | None
    segments: list[tuple[Begins, list[int]]] = field(default_factory=list[tuple[Begins, list[int]]])
    parent: int | None = None
    """Place of the parent among the runs."""
    parent_step: int | None = None
    call: str = ""
    by: LinkedBy = ""

    @property
    def steps(self) -> list[int]:
        """All steps, in the order of time."""
        return sorted(step for _, steps in self.segments for step in steps)


@dataclass
class Grouping:
    """All agents of a sequence of steps."""

    runs: list[Run]
    retries: dict[int, int]
    """Step → the step that it repeats."""
    problems: list[str]


def grouped(heard: Sequence[Heard]) -> Grouping:
    """The agents among `heard`, which are of one caller and in the order of time; a name that was said is one agent.

    Runs come in the order of their first steps.
    """
    runs: list[Run] = []
    run_of: dict[int, int] = {}
    retries: dict[int, int] = {}
    takes: dict[int, tuple[int, LinkedBy]] = {}
    """Run → the step that it takes its history or first prompt from."""
    places: dict[str | None, list[int]] = defaultdict(list)
    for at, one in enumerate(heard):
        places[one.agent].append(at)
    for agent, steps in places.items():
        links = chain([heard[step] for step in steps])
        retries |= {steps[at]: steps[link.retry_of] for at, link in enumerate(links) if link.retry_of is not None}
        made = _runs(agent, steps, links, takes, len(runs))
        for number, run in enumerate(made, len(runs)):
            run_of |= dict.fromkeys(run.steps, number)
        runs += made
    for run, (step, by) in takes.items():
        runs[run].parent, runs[run].parent_step, runs[run].by = run_of[step], step, by
    problems = _say(heard, runs, run_of)
    _find(heard, runs)
    problems += _cut_cycles(runs)
    return _in_order(Grouping(runs, retries, problems))


def _runs(
    agent: str | None, steps: list[int], links: list[Link], takes: dict[int, tuple[int, LinkedBy]], base: int
) -> list[Run]:
    """The runs of steps that share a name, or have none; `base`: the number of the first."""
    runs: list[Run] = []
    home: list[tuple[Run, list[int]]] = []
    """For each step its run and its segment."""
    for at, link in enumerate(links):
        anchor = link.retry_of if link.retry_of is not None else link.before
        if anchor is not None:
            run, segment = home[anchor]
        elif agent is not None and runs:
            run, segment = runs[0], []
        else:
            run, segment = Run(agent), []
            _note_taking(link, steps, takes, base + len(runs))
            runs.append(run)
        if anchor is None or link.begins is not None:
            segment = list[int]()
            run.segments.append((_begins(link, run), segment))
        segment.append(steps[at])
        home.append((run, segment))
    return runs


def _note_taking(link: Link, steps: list[int], takes: dict[int, tuple[int, LinkedBy]], run: int) -> None:
    if link.forked is not None:
        takes[run] = (steps[link.forked], "history")
    elif link.handed is not None:
        takes[run] = (steps[link.handed], "answer")


def _begins(link: Link, run: Run) -> Begins:
    if not run.segments:
        return "start"
    if link.begins in (None, "start"):  # a named agent that begins anew
        return "branched" if link.forked is not None else "unrelated"
    return link.begins


def _say(heard: Sequence[Heard], runs: list[Run], run_of: dict[int, int]) -> list[str]:
    """Set the parents that callers name: an agent's name, or a trace."""
    named = {run.agent: number for number, run in enumerate(runs) if run.agent is not None}
    traces = {one.trace_id: at for at, one in enumerate(heard)}
    problems: list[str] = []
    for number, run in enumerate(runs):
        said = dict.fromkeys(name for step in run.steps if (name := heard[step].parent))
        unknown = [name for name in said if name not in named and name not in traces]
        for name in said:
            step = traces.get(name)
            parent = named.get(name) if step is None else run_of[step]
            if parent is not None and parent != number:
                run.parent, run.parent_step, run.by, run.call = parent, step, "said", ""
                break
        else:
            if unknown and not _is_span(unknown[0]):
                who = run.agent or heard[run.steps[0]].trace_id
                problems.append(f"{who} names {unknown[0]} as its parent, of which nothing was recorded.")
    return problems


def _is_span(name: str) -> bool:
    """The id of a span of the caller's own, which is not among the traces."""
    return len(name) == 16 and not name.strip("0123456789abcdef")


def _find(heard: Sequence[Heard], runs: list[Run]) -> None:
    """Look for the parents that nobody named, and for the steps of those that were named."""
    wanted = [number for number, run in enumerate(runs) if run.by in ("", "answer", "said")]
    steps = [run.steps for run in runs]
    for number, parent in find_parents(heard, steps, wanted).items():
        run = runs[number]
        if run.by != "said":
            run.parent, run.parent_step, run.call, run.by = parent.run, parent.step, parent.call, parent.by
        elif run.parent == parent.run and run.parent_step in (None, parent.step):
            run.parent_step, run.call = parent.step, parent.call


def _cut_cycles(runs: list[Run]) -> list[str]:
    """Make a root of the first agent of each cycle of parents."""
    problems: list[str] = []
    state: dict[int, int] = {}
    """Run → the walk that came by."""
    for start in range(len(runs)):
        at: int | None = start
        while at is not None and at not in state:
            state[at] = start
            at = runs[at].parent
        if at is not None and state[at] == start:
            first = min(_cycle(runs, at), key=lambda number: runs[number].steps[0])
            problems.append(f"The parents of {runs[first].agent or 'an agent'} lead back to it: it is shown as a root.")
            runs[first].parent = runs[first].parent_step = None
            runs[first].by, runs[first].call = "", ""
    return problems


def _cycle(runs: list[Run], at: int) -> list[int]:
    found = [at]
    while (parent := runs[found[-1]].parent) is not None and parent != at:
        found.append(parent)
    return found


def _in_order(grouping: Grouping) -> Grouping:
    """The same with the runs in the order of their first steps."""
    runs = grouping.runs
    order = sorted(range(len(runs)), key=lambda number: runs[number].steps[0])
    place = {number: at for at, number in enumerate(order)}
    for run in runs:
        run.parent = None if run.parent is None else place[run.parent]
        run.segments.sort(key=lambda segment: segment[1][0])
    return Grouping([runs[number] for number in order], grouping.retries, grouping.problems)
