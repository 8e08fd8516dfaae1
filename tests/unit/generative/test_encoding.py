"""Loss masks: they cover the answers with their ends exactly, whatever a base model's template writes around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from generative_rows import example, recipe, sample, tickets, tokenizer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import EvidenceError, TrainingError
from freehold.serving.chat_template import ChatTemplate
from freehold.train.generative.encode import (
    REFUSED,
    SPECIAL_INSIDE,
    TOO_LONG,
    Encoded,
    encode,
    encode_pairs,
    prompt_text,
)
from freehold.train.generative.examples import Example, Turn, examples_of
from freehold.train.generative.preferences import Pair
from freehold.train.generative.tokenizer import Tokenizer

TICKETS = tickets(200)
OURS = tokenizer_of(TICKETS)
WIDE = recipe(data={"context": 4096, "learn": "assistant"})
LAST = recipe(data={"context": 4096})

CHATML = """{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|end|>' + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' }}
{%- endif %}"""
LLAMA2 = """{{ bos_token }}{% for message in messages %}
{%- if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}
{%- else %}{{ raise_exception('Only user and assistant roles are supported!') }}
{%- endif %}{% endfor %}"""
FORGETS = """{%- for message in messages %}{{- '<|user|>' if message.role == 'user' else '<|assistant|>' }}
{%- if message.role == 'assistant' and not loop.last %}{{- message.content.split('</think>')[-1] }}
{%- else %}{{- message.content }}{% endif %}<|end|>
{%- endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""
NO_END = """{% for message in messages %}{{ message.role }}: {{ message.content }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"""


def with_template(text: str, **special: str) -> Tokenizer:
    names = {"eos_token": "<|end|>", **special}
    return Tokenizer(OURS.core, ChatTemplate(text, names), {**OURS.config, "chat_template": text})


def learned(one: Encoded) -> list[str]:
    """The stretches of text that are learned."""
    borders = np.flatnonzero(np.diff(one.learn.astype(int), prepend=0, append=0))
    return [OURS.decode(one.tokens[begin:end].tolist()) for begin, end in zip(borders[::2], borders[1::2], strict=True)]


TEXT = st.text(min_size=1).filter(lambda text: "<|" not in text)


@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_masks_cover_the_learned_answers_exactly(talk: list[tuple[str, str, bool]]) -> None:
    turns = tuple(
        turn for asked, said, learn in talk for turn in (Turn("user", asked, False), Turn("assistant", said, learn))
    )
    if not any(learn for *_, learn in talk):
        with pytest.raises(EvidenceError, match="nothing to learn"):
            encode([Example(turns)], OURS, WIDE)
        return
    [one], left_out = encode([Example(turns)], OURS, WIDE)
    assert not left_out
    # neighbours that are both learned have the question between them
    assert learned(one) == [f"{said}<|end|>".encode("utf-8", "replace").decode() for _, said, learn in talk if learn]
    last = max(at for at, (*_, learn) in enumerate(talk) if learn)
    whole = "".join(f"<|user|>{asked}<|end|><|assistant|>{said}<|end|>" for asked, said, _ in talk[: last + 1])
    assert OURS.decode(one.tokens.tolist()) == whole.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("template", "answers"),
    [
        (CHATML, ["one<|end|>", "two<|end|>"]),
        (LLAMA2, [" one<|end|>", " two<|end|>"]),
        (CHATML.replace("<|end|>", "<|tool|>"), ["one<|tool|>", "two<|tool|>"]),
        (NO_END, [" one\n<|end|>", " two\n<|end|>"]),
    ],
)
def test_templates_of_bases(template: str, answers: list[str]) -> None:
    turns = (
        Turn("user", "first", False), Turn("assistant", "one", True),
        Turn("user", "second", False), Turn("assistant", "two", True),
    )  # fmt: skip
    tokenizer = with_template(template, bos_token="<|pad|>")
    found, _ = encode([Example(turns)], tokenizer, WIDE)
    assert [stretch for one in found for stretch in learned(one)] == answers
    [last], _ = encode([Example(turns)], tokenizer, LAST)
    assert learned(last) == answers[1:]
    [alone], _ = encode([example("first", "one")], tokenizer, WIDE)
    prompt = tokenizer.encode(prompt_text("first", tokenizer))
    assert alone.tokens[: len(prompt)].tolist() == prompt and not alone.learn[: len(prompt)].any()
    assert alone.learn[len(prompt) :].all()


def test_a_template_that_rewrites_earlier_turns_gives_an_example_for_each_answer() -> None:
    turns = (
        Turn("user", "first", False), Turn("assistant", "hm</think>one", True),
        Turn("user", "second", False), Turn("assistant", "so</think>two", True),
    )  # fmt: skip
    first, second = encode([Example(turns)], with_template(FORGETS), WIDE)[0]
    assert learned(first) == ["hm</think>one<|end|>"] and learned(second) == ["so</think>two<|end|>"]
    assert "hm" not in OURS.decode(second.tokens.tolist())


def test_what_is_left_out_is_counted_and_most_of_it_too_long_is_an_error() -> None:
    fit, _ = examples_of(TICKETS, recipe())
    odd = [example("so <|end|> it", "is"), *fit]
    found, left_out = encode(odd, OURS, recipe())
    assert left_out == {SPECIAL_INSIDE: 1} and len(found) == len(fit)
    shorter = recipe(data={"context": max(len(one.tokens) for one in found) - 1})
    fit += [example("Customer Anna", "{}")] * len(fit)
    some, left_out = encode(fit, OURS, shorter)
    assert left_out[TOO_LONG] == len(fit) - len(some) > 0
    with pytest.raises(EvidenceError, match="longer than 16 tokens") as raised:
        encode(fit[:100], OURS, recipe(data={"context": 16}))
    assert "context = 64" in raised.value.hint
    with pytest.raises(EvidenceError, match="No example is left to learn from: 1 holds"):
        encode(odd[:1], OURS, recipe())
    assert encode([], OURS, recipe()) == ([], {})


def test_a_conversation_that_the_template_does_not_take_is_left_out_unless_all_are() -> None:
    system = Example((Turn("system", "be good", False), *example("q", "a").turns))
    tokenizer = with_template(LLAMA2)
    found, left_out = encode([system, example("q", "a")], tokenizer, WIDE)
    assert len(found) == 1 and left_out == {REFUSED: 1}
    with pytest.raises(TrainingError, match="does not take a conversation of system, user"):
        encode([system], tokenizer, WIDE)
    with pytest.raises(TrainingError, match="does not take"):
        encode([system], with_template("{% for %}"), WIDE)


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    escape = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(TrainingError, match="does not take"):
        ChatTemplate(escape, {}).render([{"role": "user", "content": ""}], answer_next=True)


def test_pairs_share_their_prompt() -> None:
    pairs = [Pair("order 12", "yes", "no", "feedback"), Pair("<|end|>", "a", "b", "feedback")]
    [one], left_out = encode_pairs(pairs, OURS, WIDE)
    assert left_out == {SPECIAL_INSIDE: 1}
    texts: list[Any] = [OURS.decode(part.tolist()) for part in one]
    assert texts == ["<|user|>order 12<|end|><|assistant|>", "yes<|end|>", "no<|end|>"]
    with pytest.raises(EvidenceError, match="longer than"):
        encode_pairs([Pair("word " * 50, "a", "b", "feedback")], OURS, recipe(data={"context": 16}))


def test_an_epoch_is_kept() -> None:
    [one], _ = encode([example("q", "a")._replace(epoch=2)], OURS, WIDE)
    assert one.epoch == 2
    assert sample("a", "b").part == "fit"
