"""A student's own tokenizer: every text comes back, the same texts give the same one, transformers reads it alike."""

from __future__ import annotations

import json
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from generative_rows import tickets, tokenizer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import TrainingError
from freehold.serving.chat_template import read_chat_template
from freehold.train.generative.encode import prompt_text
from freehold.train.generative.tokenizer import OFTEN, SCRATCH_SPECIAL, Tokenizer, read_tokenizer, train_tokenizer
from freehold.train.recipes import Scratch

OURS = tokenizer_of(tickets(300))


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_every_text_comes_back(text: str) -> None:
    wanted = text.encode("utf-8", "replace").decode()
    assert OURS.decode(OURS.encode(text)) == wanted
    assert OURS.encode_many([text, text]) == [OURS.encode(text)] * 2


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=20), st.sampled_from(["", " to a T", "\n Ωx Ωx"]))
@settings(max_examples=30, deadline=None)
def test_any_texts_give_a_tokenizer_and_the_same_one_twice(pairs: list[tuple[str, str]], often: str) -> None:
    told = [(asked + often, answered) for asked, answered in pairs]
    made = [train_tokenizer(told, Scratch(vocabulary=300)) for _ in range(2)]
    assert made[0].core.to_str() == made[1].core.to_str()
    assert 262 + 100 <= made[0].size <= 300 + 100 + 10
    for text in chain.from_iterable(told):
        assert made[0].decode(made[0].encode(text)) == text.encode("utf-8", "replace").decode()


def test_words_that_no_answer_repeats_are_one_token_with_the_space_before_them() -> None:
    told = [(f"give the éclair to {name}", f"to: {name}") for name in ("Anna", "Bo") * OFTEN]
    ours = train_tokenizer(told, Scratch(vocabulary=400))
    pieces = [ours.decode([token]) for token in ours.encode("give the éclair to Anna, the")]
    assert pieces == ["give", " the", " éclair", " ", "to", " ", "Anna", ",", " the"]
    seldom = train_tokenizer(told[: OFTEN - 1], Scratch(vocabulary=400))
    assert [seldom.decode([token]) for token in seldom.encode("give the")] == ["give", " ", "the"]


def test_special_tokens_come_first_and_copied_words_and_numbers_are_alike_everywhere() -> None:
    assert [OURS.core.token_to_id(token) for token in SCRATCH_SPECIAL] == list(range(6))
    assert OURS.ids == (0, 1, None)
    pieces = [OURS.decode([token]) for token in OURS.encode("order 90210")]
    assert pieces[-3:] == ["9", "02", "10"]
    for word in ("Anna", "Zyxel", "order", "ÅnnaÖ", "100", "08", "007"):
        alone = OURS.encode(word)
        for before in (" ", ' "', "(", ".", "\n"):
            assert OURS.encode(before + word)[-len(alone) :] == alone, (before, word)
    assert [OURS.decode([token]) for token in OURS.encode("Customer Anna says")] == ["Customer", " ", "Anna", " says"]
    assert OURS.holds_special("so <|end|> it is") and not OURS.holds_special("so |end| it is")


def test_transformers_reads_the_folder_and_renders_and_encodes_the_same(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    OURS.save(tmp_path)
    theirs: Any = AutoTokenizer.from_pretrained(str(tmp_path))
    assert (theirs.eos_token_id, theirs.pad_token_id, len(theirs)) == (1, 0, OURS.size)
    for text in ("Order 12 for Ånna", "  two\n lines\t", "日本 🎉", ""):
        messages = [{"role": "user", "content": text}]
        ours = prompt_text(text, OURS)
        assert theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == ours
        ids = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert list(ids) == OURS.encode(ours)
        assert theirs(text, add_special_tokens=True)["input_ids"] == OURS.encode(text)
        assert theirs.decode(OURS.encode(text)) == text
    tools = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Go"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"ä": 1}}}],
        },
        {"role": "tool", "content": "done"},
    ]
    rendered = OURS.template.render(tools, answer_next=True)
    assert theirs.apply_chat_template(tools, tokenize=False, add_generation_prompt=True) == rendered
    assert rendered.endswith('<|tool|>{"name": "f", "arguments": {"ä": 1}}<|end|><|tool|>done<|end|><|assistant|>')


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    OURS.save(tmp_path)
    back = read_tokenizer(tmp_path)
    assert isinstance(back, Tokenizer) and back.core.to_str() == OURS.core.to_str()
    assert (back.ids, back.end, back.template.text) == (OURS.ids, OURS.end, OURS.template.text)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"] == 256


def test_folders_that_cannot_be_used_say_what_to_do(tmp_path: Path) -> None:
    def broken(**changes: Any) -> Path:
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        OURS.save(folder)
        path = folder / "tokenizer_config.json"
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
        return folder

    with pytest.raises(TrainingError, match=r"has no tokenizer\.json.*AutoTokenizer"):
        read_tokenizer(tmp_path)
    with pytest.raises(TrainingError, match=r"has no chat template.*instruct"):
        read_tokenizer(broken(chat_template=None))
    with pytest.raises(TrainingError, match="names no eos_token"):
        read_tokenizer(broken(eos_token=None))
    with pytest.raises(TrainingError, match="no token '<nowhere>'"):
        read_tokenizer(broken(eos_token="<nowhere>"))
    folder = broken()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_tokenizer(folder)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_tokenizer(folder)
    named = broken(
        chat_template=[{"name": "tools", "template": "t"}, {"name": "default", "template": "{{ eos_token }}"}]
    )
    assert read_tokenizer(named).template.render([], answer_next=True) == "<|end|>"
    (named / "chat_template.jinja").write_text("{{ messages | tojson }}")
    assert read_tokenizer(named).template.render([{"a": "<ä>"}], answer_next=True) == '[{"a": "<ä>"}]'


def test_the_day_that_a_template_tells_is_the_same_in_every_training(tmp_path: Path) -> None:
    OURS.save(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ strftime_now('%d %B %Y') }}")
    assert read_tokenizer(tmp_path).template.render([], answer_next=True) == "01 January 2026"
    served = read_chat_template(tmp_path)
    assert served is not None and served.render([], answer_next=True) != "01 January 2026"
