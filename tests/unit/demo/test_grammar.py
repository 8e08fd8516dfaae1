"""The demo's traffic: repeatable, varied, one fingerprint per task, closed where it says so, and it drifts."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from freehold.demo.composers import extraction_values, intent_labels
from freehold.demo.grammar import Message, SupportDesk, chat_request, traffic
from freehold.demo.incumbent import incumbent_answers
from freehold.demo.lexicon import INTENTS, IntentLexicon
from freehold.demo.phrases import SMALL_TALK_RATE, load
from freehold.domain.answers import disagreement, parse_object
from freehold.domain.chat import parse_chat
from freehold.domain.errors import ConfigError
from freehold.domain.fingerprint import shape_of

TASKS = ("triage", "urgency", "extraction", "reply")


@pytest.fixture(scope="module")
def by_task() -> dict[str, list[Message]]:
    desk = SupportDesk(3)
    return {task: list(desk.messages(task, 3000)) for task in TASKS}


def fingerprint(message: Message) -> str:
    return shape_of(parse_chat(json.dumps(chat_request(message, "frontier")).encode())).fingerprint


def test_same_seed_same_traffic_other_seed_other_traffic() -> None:
    once = traffic(5, 400, drift_task="urgency")
    assert once == traffic(5, 400, drift_task="urgency")
    assert incumbent_answers(once, 1) == incumbent_answers(once, 1)
    assert not {m.user for m in once} & {m.user for m in traffic(6, 400) if len(m.user) > 60}
    with pytest.raises(ConfigError, match="no task 'billing'"):
        SupportDesk(1).stream("billing")


def test_traffic_follows_the_mix_and_drifts_only_from_the_turn_on() -> None:
    mix = {"triage": 3.0, "urgency": 1.0}
    plain = traffic(5, 2000, mix)
    drifting = traffic(5, 2000, mix, drift_task="urgency", drift_at=0.6)
    assert [m.task for m in plain] == [m.task for m in drifting]
    assert sum(m.task == "urgency" for m in plain) / 2000 == pytest.approx(0.25, abs=0.03)
    assert plain[:1200] == drifting[:1200]
    for before, after in zip(plain[1200:], drifting[1200:], strict=True):
        assert (before == after) == (before.task == "triage")


def test_every_task_is_one_fingerprint_before_and_after_the_drift(by_task: dict[str, list[Message]]) -> None:
    seen = {task: {fingerprint(m) for m in messages[:400]} for task, messages in by_task.items()}
    assert [len(prints) for prints in seen.values()] == [1, 1, 1, 1]
    assert len(set.union(*seen.values())) == 4
    assert {fingerprint(m) for m in SupportDesk(9).messages("urgency", 300, drifted=True)} == seen["urgency"]
    varied = [task for task, messages in by_task.items() if len({m.system for m in messages}) > 1000]
    assert varied == ["triage", "urgency", "reply"]


def test_messages_hardly_repeat(by_task: dict[str, list[Message]]) -> None:
    for messages in by_task.values():
        users = [m.user for m in messages]
        assert 1 - len(set(users)) / len(users) < 0.02
        assert not any(mark in user for user in users for mark in "[]{}@|")
        assert all(5 < len(user) < 700 for user in users)


def test_triage_uses_all_24_intents_each_said_in_many_ways(by_task: dict[str, list[Message]]) -> None:
    labels = intent_labels()
    assert len(labels) == 24
    assert {m.truth for m in by_task["triage"]} == set(labels)
    assert all(label in by_task["triage"][0].system for label in labels)
    lexicon = load(INTENTS, IntentLexicon)
    assert min(len(set(intent.bodies)) for intent in lexicon.intents.values()) >= 12
    assert all(set(vague.intents) <= set(labels) for vague in lexicon.ambiguous)
    assert 0 < SMALL_TALK_RATE < 0.05


def test_extraction_answers_are_closed_objects_that_their_schema_allows(by_task: dict[str, list[Message]]) -> None:
    allowed = extraction_values()
    assert [len(values) for values in allowed.values()] == [10, 4, 2, 3]
    for message in by_task["extraction"]:
        answer = parse_object(message.truth)
        assert answer is not None
        assert list(answer) == list(allowed)
        assert all(answer[key] in values for key, values in allowed.items())
        assert message.truth == json.dumps(answer)
        assert message.response_format is not None
        assert message.response_format["json_schema"]["schema"]["required"] == list(answer)


def test_replies_are_never_alike_and_name_the_customer_and_the_order(by_task: dict[str, list[Message]]) -> None:
    replies = [m.truth for m in by_task["reply"]]
    assert len(set(replies)) == len(replies)
    assert all("BX-" in reply and len(reply.split("\n\n")) == 3 for reply in replies)
    assert all(2 <= reply.split("\n\n")[1].count(".") <= 8 for reply in replies)


def test_the_incumbent_errs_at_its_rate_and_in_the_form_of_a_right_answer(by_task: dict[str, list[Message]]) -> None:
    messages = list(itertools.chain.from_iterable(by_task.values()))
    answers = incumbent_answers(messages, 8)
    wrong = [(m, a) for m, a in zip(messages, answers, strict=True) if disagreement(a, m.truth)]
    assert len(wrong) / len(messages) == pytest.approx(0.02, abs=0.005)
    assert {m.task for m, _ in wrong} == set(TASKS)
    for message, answer in wrong:
        if message.task == "triage":
            assert answer in intent_labels()
        elif message.task == "urgency":
            assert {answer, message.truth} == {"yes", "no"}
        elif message.task == "extraction":
            right, got = json.loads(message.truth), json.loads(answer)
            assert sum(right[key] != got[key] for key in right) == 1
        else:
            assert answer.split("\n\n")[::2] == message.truth.split("\n\n")[::2]
    assert incumbent_answers(messages, 8, mistake_rate=0) == [m.truth for m in messages]


def test_requests_do_not_hold_the_right_answer(by_task: dict[str, list[Message]]) -> None:
    message = by_task["extraction"][0]
    request = chat_request(message, "frontier")
    assert set(request) == {"model", "messages", "response_format"}
    assert message.truth not in json.dumps(request)
    assert "response_format" not in chat_request(by_task["triage"][0], "frontier")


def test_a_model_fit_before_the_drift_is_right_before_it_and_wrong_on_a_third_to_half_after(
    by_task: dict[str, list[Message]],
) -> None:
    known, unseen = by_task["urgency"][:800], by_task["urgency"][800:1800]
    drifted = list(SupportDesk(3).messages("urgency", 1000, drifted=True))
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=20))
    model.fit([m.user for m in known], incumbent_answers(known, 1))

    def loss(messages: list[Message]) -> float:
        return float(np.mean(model.predict([m.user for m in messages]) != [m.truth for m in messages]))

    assert loss(unseen) < 0.05
    assert 0.3 < loss(drifted) < 0.5
