"""Kiln: task runs as its projects hold them (`…/runs/…/task_run.kiln`), with ratings and repairs.

Source: Kiln-AI/Kiln, `libs/core/kiln_ai/datamodel/` (`task_run.py`, `task_output.py`, `basemodel.py`). A run with a
`trace` holds all its messages; one without (older ones, and those written by hand) only its input, without the task's
instructions. Ratings become scores as Kiln itself normalises them; a repaired output is an edit. A project's other
files are passed over. Kiln's fine-tuning exports are `openai-chat`.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.domain.errors import RowError
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange, Judgement
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import Row, count_of, number_of, object_of, objects_of, said, text_of, time_ns

_SCALES = {"five_star": (1.0, 5.0), "pass_fail": (0.0, 1.0), "pass_fail_critical": (-1.0, 1.0)}
"""Kind of rating → its least and its greatest value."""


def _role(row: Row) -> str | None:
    kind = text_of(row, "model_type")
    if kind == "task_run" or ("input" in row and "output" in row and "input_source" in row):
        return "run"
    return "other" if kind and "v" in row else None


def _read(role: str, row: Row, _shelf: Shelf) -> Iterator[Read]:
    if role == "other":
        return
    exchange = _exchange(row)
    yield exchange
    output = object_of(row.get("output"))
    score = _score(object_of(output.get("rating")))
    edit = said(object_of(row.get("repaired_output")).get("output")) or None
    if score is not None or edit is not None:
        comment = text_of(row, "repair_instructions") or None
        yield Judgement(
            own_id=f"{exchange.own_id}/{score}/{edit}",
            about=exchange.own_id,
            at_ns=exchange.at_ns,
            score=score,
            edit=edit,
            comment=comment,
        )


def _exchange(row: Row) -> Exchange:
    output = object_of(row.get("output"))
    source = object_of(output.get("source"))
    about = object_of(source.get("properties"))
    trace = objects_of(row.get("trace"))
    answer = said(output.get("output"))
    if trace:
        asked, message = chat.split_answer(chat.chat_messages(trace))
    elif answer and row.get("input"):
        asked, message = [{"role": "user", "content": said(row["input"])}], chat.assistant(answer)
    else:
        raise RowError("It has no input or no output.", "Import runs that have ended.")
    run, at = text_of(row, "id"), time_ns(row.get("created_at"))
    if not run:
        raise RowError("It has no id.", "Import the files as Kiln wrote them.")
    counts = object_of(row.get("usage"))
    # The run's counts are those of all its calls: of one call's only where there was one.
    single = sum(turn["role"] == "assistant" for turn in asked) == 0
    used = chat.usage(count_of(counts, "input_tokens"), count_of(counts, "output_tokens")) if single else None
    model = text_of(about, "model_name")
    parent = text_of(row, "parent_task_run_id")
    return Exchange(
        request={"messages": asked},
        response=chat.completion(message, model=model, used=used),
        own_id=f"{run}",
        at_ns=at,
        model=model or ("human" if text_of(source, "type") == "human" else ""),
        provider="person" if text_of(source, "type") == "human" else text_of(about, "model_provider"),
        parent=parent,
        episode=parent,
    )


def _score(rating: Row) -> float | None:
    value, scale = number_of(rating, "value"), _SCALES.get(text_of(rating, "type") or "five_star")
    if value is None or scale is None:
        return None
    least, greatest = scale
    if not least <= value <= greatest:
        raise RowError("Its rating is outside of its scale.", "Rate it again in Kiln.")
    return (value - least) / (greatest - least)


FORMAT = Format("kiln", "Kiln task runs", ("run", "other"), _role, _read)
