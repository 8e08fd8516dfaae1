"""What to make of a drill's figures, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from freehold.domain.drills import Drill, DrillLine, DrillReport

FEW = 100
"""Fewer drilled requests than this make rough shares."""
SLOWER = 2.0
"""Answers that take longer by this factor are worth a word."""
MOST_TASKS = 5


def notes(report: DrillReport, drill: Drill, span_seconds: float) -> tuple[str, ...]:
    """What the figures do not say. `span_seconds`: between the first and the last request."""
    return tuple(_notes(report, drill, span_seconds))


def _notes(report: DrillReport, drill: Drill, span: float) -> Iterator[str]:
    if report.seconds < 0.95 * drill.wanted_seconds:
        yield f"It lasted {report.seconds:.0f} s instead of the {drill.wanted_seconds:.0f} s that were wanted."
    if not report.drilled:
        yield "No request came that it could have rerouted: it shows nothing."
    elif report.drilled < FEW:
        yield f"Only {report.drilled} requests were in it: shares are rough, and what is rare was not seen."
    if report.drilled and span < 0.5 * report.seconds:
        yield f"Traffic came in {span:.0f} of its {report.seconds:.0f} s only."
    if report.before is None and report.during is not None:
        yield "There was no traffic just before it to compare times with."
    outside = report.outcomes.get("outside", 0)
    if outside and drill.share >= 1.0:
        yield f"{outside} requests came before their worker had heard of it, which takes up to two seconds."
    if report.not_compared:
        yield f"{report.not_compared} questions to the incumbent brought no answer to compare with."
    yield "Requests that forbade recording were rerouted too and are in no figure."


def next_steps(report: DrillReport, has_stand_in: bool) -> tuple[str, ...]:
    """What to do about what it showed, the most urgent first."""
    return tuple(_steps(report, has_stand_in))


def _steps(report: DrillReport, has_stand_in: bool) -> Iterator[str]:
    missed = report.drilled - report.kept
    if missed and not has_stand_in:
        yield (
            f"{missed} of {report.drilled} requests had nothing owned to answer them: serve an open model of your own, "
            "declare it as an upstream with `owned = true`, and name it in `[drill] stand_in`."
        )
    elif missed:
        asked = ", ".join(f"{need} ({count})" for need, count in report.unable.items())
        yield f"{missed} of {report.drilled} requests got no answer from anything owned. They asked for: {asked}."
    if "embeddings" in report.unable:
        yield (
            "Embeddings cannot be swapped from one day to the next, as stored vectors fit one model only: embed anew "
            "with a model of your own while the provider is still there."
        )
    without = [line for line in report.tasks if line.key and _uncertified(line)]
    if without:
        named = "; ".join(f"{line.name} ({_uncertified(line)})" for line in without[:MOST_TASKS])
        more = f" and {len(without) - MOST_TASKS} more" if len(without) > MOST_TASKS else ""
        yield (
            f"Answered by owned models that nothing certifies for it: {named}{more}. `freehold plan TASK` says what "
            "a certificate still needs."
        )
    if report.before is not None and report.during is not None and report.during.p95 > SLOWER * report.before.p95:
        yield (
            f"One answer in twenty took {report.during.p95:.0f} ms or more, against {report.before.p95:.0f} ms before: "
            "give your own servers more room before you rely on them."
        )
    for one in report.compared:
        if one.pairs - one.same:
            yield (
                f"{one.name or 'Requests without a task'}: {one.pairs - one.same} of {one.pairs} compared answers "
                f"differ from the incumbent's; look at `freehold traces {(one.examples or ('TRACE',))[0]}`."
            )
    if report.drilled and not missed and not without:
        yield "Everything in it was answered by owned models with a certificate: drill again with a larger share."


def _uncertified(line: DrillLine) -> int:
    return line.outcomes.get("uncertified", 0) + line.outcomes.get("stand-in", 0)
