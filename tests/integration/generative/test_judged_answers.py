"""Preference pairs from feedback as it is stored."""

from __future__ import annotations

from pathlib import Path

import msgspec
from generative_rows import sample
from loop_fixtures import incumbent_trace
from store_fixtures import open_store

from freehold.domain.traces import Feedback
from freehold.record.sealer import Sealer
from freehold.train.generative.preferences import judged_of, pairs_from_feedback


def test_what_people_said_of_answers_gives_pairs(tmp_path: Path) -> None:
    traces = [incumbent_trace(number, f"question {number}", f"answer {number}") for number in range(5)]
    said = [{"edit": "Anna's answer"}, {"score": 0.5, "label": "right"}, {"score": 1.0}, {"edit": "of another model"}]
    store = open_store(tmp_path)
    journal = store.open_journal()
    for trace in traces:
        journal.append(trace)
    for number, what in enumerate(said):
        feedback = Feedback(feedback_id=f"fb_{number:08}", trace_id=traces[number].trace_id, at_ns=1)
        journal.append(msgspec.structs.replace(feedback, **what))
    journal.close()
    Sealer(store, {}).seal_once()
    samples = [
        msgspec.structs.replace(
            sample(f"question {number}", "replaced", trace=trace.trace_id),
            answered_by="inc/other" if number == 3 else "inc/gpt",
        )
        for number, trace in enumerate(traces)
    ]
    judged = {
        one.prompt: one for one in judged_of(store, samples, lambda texts: [t.replace("Anna", "Berta") for t in texts])
    }
    assert set(judged) == {"question 0", "question 1", "question 2"}
    assert judged["question 0"].answer == "answer 0" and judged["question 2"].scores == (1.0,)
    pairs = pairs_from_feedback(list(judged.values()))
    assert [pair[:3] for pair in pairs] == [
        ("question 0", "Berta's answer", "answer 0"),
        ("question 1", "right", "answer 1"),
    ]
    assert judged_of(store, [sample("q", "a", "certify", traces[0].trace_id)]) == []
    store.close()
