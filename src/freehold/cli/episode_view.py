"""An episode drawn as a tree for the terminal. What callers wrote is shown without control characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.text import Text
from rich.tree import Tree

from freehold.domain.episodes import AgentRun, Episode, Segment, Step
from freehold.ledger import dollars

MOST_STEPS = 10
"""Steps of a root that are shown; those of others only with all."""
MOST_AGENTS = 8
"""Agents below one step, or one agent, that are shown."""
MOST_DEPTH = 4
DEEPEST = 60
"""Also with all: a terminal is no wider."""
SECOND = 1_000_000_000
_BEGINS = {
    "compacted": "a summary takes the place of the history",
    "truncated": "older messages are left out",
    "branched": "goes on from an earlier step",
    "instructed": "under other instructions",
    "unrelated": "begins anew",
}


class _Sums(NamedTuple):
    steps: int
    failed: int
    given: int
    said: int
    cost: int
    unpriced: int

    @classmethod
    def of(cls, steps: Iterable[Step]) -> _Sums:
        own = list(steps)
        return cls(
            len(own),
            sum(step.failed for step in own),
            sum(step.input_tokens for step in own),
            sum(step.output_tokens for step in own),
            sum(step.cost_nanousd for step in own),
            sum(step.price_source == "none" and not step.failed for step in own),
        )


def view(episode: Episode, *, whole: bool) -> Tree:
    """The tree; `whole`: nothing is folded."""
    return _View(episode, whole).tree()


def clean(text: str) -> str:
    """`text` with nothing in it that a terminal obeys."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def lasted(nanoseconds: int) -> str:
    """`0.4 s`, `3 min 05 s`, `2 h 10 min`."""
    seconds = nanoseconds / SECOND
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class _View:
    def __init__(self, episode: Episode, whole: bool) -> None:
        self._episode = episode
        self._whole = whole
        self._runs = {agent.run: agent for agent in episode.agents}
        self._steps = episode.steps
        self._first_ns = min((step.at_ns for step in self._steps), default=0)
        self._homes = {step.trace_id: agent.run for agent in episode.agents for step in agent.steps}
        self._started: dict[str, list[AgentRun]] = {}
        """Step → the agents that it started."""
        for agent in episode.agents:
            if agent.parent_step is not None:
                self._started.setdefault(agent.parent_step, []).append(agent)

    def tree(self) -> Tree:
        episode = self._episode
        steps = self._steps
        head = Text(clean(episode.episode_id), style="bold")
        head.append(f"  {len(episode.agents):,} agents · {_sums(_Sums.of(steps))} · {_span(steps)}", style="default")
        if episode.key is not None:
            head.append(f" · {clean(episode.key)}", style="dim")
        head.append(f" · linked by {', '.join(episode.how) or 'its source'}", style="dim")
        tree = Tree(head)
        for judged in episode.feedback:
            if not judged.trace_id:
                tree.add(Text(f"feedback: {_judgement(judged.score, judged.label, judged.comment)}", style="green"))
        for problem in episode.problems:
            tree.add(Text(clean(problem), style="yellow"))
        self._agents(tree, [self._runs[run] for run in episode.roots], 1)
        return tree

    def _agents(self, tree: Tree, agents: Sequence[AgentRun], depth: int) -> None:
        shown = agents if self._whole else agents[:MOST_AGENTS]
        for agent in shown:
            self._agent(tree, agent, depth)
        left = agents[len(shown) :]
        if left:
            below = [one for agent in left for one in self._family(agent)]
            sums = _Sums.of(step for one in below for step in one.steps)
            tree.add(Text(f"… {len(below):,} more agents: {_sums(sums)} (--all shows them)", style="dim"))

    def _agent(self, tree: Tree, agent: AgentRun, depth: int) -> None:
        label = Text(clean(agent.run), style="bold cyan" if agent.named else "cyan")
        label.append(f"  {_sums(_Sums.of(agent.steps))} · {_span(agent.steps)}", style="default")
        if len(agent.segments) > 1:
            label.append(f" · {len(agent.segments)} segments", style="magenta")
        if agent.linked_by not in ("", "said"):
            label.append(f" · parent found by {agent.linked_by}", style="dim")
        node = tree.add(label)
        if depth >= (DEEPEST if self._whole else MOST_DEPTH):
            below = len(self._family(agent)) - 1
            if below:
                node.add(Text(f"… {below:,} agents below", style="dim"))
            return
        children = [self._runs[run] for run in agent.children]
        if not self._whole and depth > 1:
            self._agents(node, children, depth + 1)
            return
        for number, segment in enumerate(agent.segments):
            if number:
                node.add(Text(f"— {_BEGINS.get(segment.begins, segment.begins)}", style="magenta"))
            self._segment(node, agent, segment, depth)
        beside = [child for child in children if self._homes.get(child.parent_step or "") != agent.run]
        self._agents(node, beside, depth + 1)

    def _segment(self, node: Tree, agent: AgentRun, segment: Segment, depth: int) -> None:
        shown = self._shown(segment)
        for step in shown:
            line = node.add(_step(step, self._first_ns))
            started = self._started.get(step.trace_id, ())
            self._agents(line, [child for child in started if child.parent == agent.run], depth + 1)
        left = len(segment.steps) - len(shown)
        if left:
            node.add(Text(f"… {left:,} more steps (--all shows them)", style="dim"))

    def _shown(self, segment: Segment) -> Sequence[Step]:
        """The first steps, and those that started agents."""
        if self._whole:
            return segment.steps
        return [step for at, step in enumerate(segment.steps) if at < MOST_STEPS or step.trace_id in self._started]

    def _family(self, agent: AgentRun) -> list[AgentRun]:
        """An agent and all below it."""
        found = [agent]
        for one in found:
            found += (self._runs[run] for run in one.children)
        return found


def _step(step: Step, first_ns: int) -> Text:
    style = "red" if step.failed else "green" if step.owned else "default"
    text = Text(f"+{lasted(step.at_ns - first_ns)}  ", style="dim")
    text.append(clean(step.answered_by or f"{step.model or '–'} (nobody answered)"), style=style)
    if step.model and not step.answered_by.endswith(step.model):
        text.append(f" for {clean(step.model)}", style="dim")
    text.append(f"  {step.status or 'no status'}", style="red" if step.failed else "default")
    text.append(
        f" · {step.input_tokens:,} in, {step.output_tokens:,} out · {_cost(step)} · {step.duration_us / 1000:,.0f} ms"
    )
    if step.finish_reason:
        text.append(f" · {clean(step.finish_reason)}", style="dim")
    if step.retry_of is not None:
        text.append(" · sent again", style="yellow")
    text.append(f"  {step.trace_id}", style="dim")
    if step.error is not None:
        text.append(f"\n{clean(step.error)[:300]}", style="red")
    return text


def _cost(step: Step) -> str:
    return "price unknown" if step.price_source == "none" and not step.failed else dollars(step.cost_nanousd)


def _sums(sums: _Sums) -> str:
    failed = f", {sums.failed:,} failed" if sums.failed else ""
    unpriced = f" and {sums.unpriced:,} of unknown price" if sums.unpriced else ""
    steps = "1 step" if sums.steps == 1 else f"{sums.steps:,} steps"
    return f"{steps}{failed} · {sums.given:,} in, {sums.said:,} out · {dollars(sums.cost)}{unpriced}"


def _span(steps: Sequence[Step]) -> str:
    return lasted(max(step.at_ns + step.duration_us * 1000 for step in steps) - min(step.at_ns for step in steps))


def _judgement(score: float | None, label: str | None, comment: str | None) -> str:
    parts = ["" if score is None else f"score {score:g}", label or "", comment or ""]
    return clean(" · ".join(part for part in parts if part))[:300]
