"""Verdicts in words: whoever prints one, prints it from here, so that date, source and notice are never missing."""

from __future__ import annotations

from freehold.domain.evidence import Verdict
from freehold.rights.duties import DutyState

NOTICE = "By our reading of the texts on the dates shown. Not legal advice."


def in_words(verdict: Verdict) -> str:
    """`openai-api: duties. What it says. Duties: … (source, date; not legal advice)`."""
    duties = f" Duties: {'; '.join(verdict.duties)}." if verdict.duties else ""
    return f"{verdict.subject}: {verdict.outcome}. {verdict.reason}{duties} {basis(verdict.source, verdict.date)}"


def duty_in_words(state: DutyState) -> str:
    """`llama-3.1/students-name asks for name-prefix (Llama). What it says. (source, date; not legal advice)`."""
    what = f"{state.duty.kind} ({state.duty.text})" if state.duty.text else state.duty.kind
    where = f"{state.licence}/{state.clause}"
    return f"{where} asks for {what}. {state.says} {basis(state.source, state.date)}"


def basis(source: str, date: str) -> str:
    """What a verdict rests on, in brackets."""
    return f"({', '.join(filter(None, (source, date)))}; not legal advice)"


def what_to_do(verdict: Verdict) -> str:
    """The next step of somebody to whom a verdict does not permit what they want."""
    if verdict.outcome == "needs-counsel":
        command = f"freehold rights decide --terms {verdict.subject} --purpose {verdict.action}"
        return f"Counsel decides: `{command} --allow --until DATE --by NAME`."
    return "Set the upstream's `terms` if they are others; `freehold rights explain` shows every clause."
