"""Noise: words that the answer repeats change in both, grammar and copied words keep their form, epochs differ."""

from __future__ import annotations

import json
import random
from collections import Counter

from generative_rows import NAMES, example, recipe, tickets
from hypothesis import given
from hypothesis import strategies as st

from freehold.train.generative.augment import POOL, augmented, made_up, mistyped
from freehold.train.generative.examples import examples_of

EXAMPLES = examples_of(tickets(600), recipe())[0]
WORDS = [example(f"The {a}{b} of {number} is late", f"{a}{b}: late") for number, (a, b) in enumerate(
    (a, b) for a in ("Alma", "Bero", "Cilu", "Dane") for b in ("fex", "gom", "hin", "jat", "kul")
)]  # fmt: skip


def test_without_noise_nothing_changes() -> None:
    assert augmented(EXAMPLES, recipe(), 1) == EXAMPLES


def test_made_up_words_stand_in_prompt_and_answer() -> None:
    asked = recipe(data={"noise_words": 0.5}, run={"epochs": 2.5})
    noisy = augmented(WORDS * 5, asked, 1)
    assert noisy == augmented(WORDS * 5, asked, 1) != augmented(WORDS * 5, asked, 2)
    changed = [one for one in noisy if one.epoch >= 0]
    per_epoch = Counter(one.epoch for one in changed)
    assert len(set(per_epoch.values())) == 1 and set(per_epoch) == {0, 1, 2}
    known = {one.turns[0].text for one in WORDS}
    fresh = [one for one in changed if one.turns[0].text not in known]
    assert 0.4 * len(WORDS) * 5 * 3 < len(fresh) < 0.6 * len(WORDS) * 5 * 3
    for one in fresh:
        prompt, answer = (turn.text for turn in one.turns)
        word = answer.removesuffix(": late")
        assert word in prompt.split() and word[0].isupper() and prompt.endswith("is late"), "the grammar changed"


def test_common_words_belong_to_the_grammar() -> None:
    noisy = augmented(EXAMPLES, recipe(data={"noise_words": 1.0}), 1)
    assert all(json.loads(one.turns[1].text)["name"] in NAMES for one in noisy), "ten names in 540 answers are not rare"


def test_numbers_that_are_copied_become_others_of_as_many_digits_in_both() -> None:
    asked = [example(f"Where is order no. {n}, not {n}1?", f"SELECT * FROM o WHERE id = {n}") for n in range(400, 500)]
    noisy = augmented(asked, recipe(data={"noise_words": 1.0}, run={"epochs": 1.0}), 1)
    wanted = [one.turns[1].text.rsplit(" ", 1)[1] for one in noisy]
    assert all(number.isdigit() and len(number) == 3 and number[0] != "0" for number in wanted)
    assert len(set(wanted)) > 60 and any(int(number) >= 500 for number in wanted)
    for one, number in zip(noisy, wanted, strict=True):
        assert f"no. {number}, not 4" in one.turns[0].text, "part of a longer number is no copy of it"


def test_prompts_hold_words_that_nobody_knows_and_answers_none() -> None:
    asked = recipe(data={"noise_prompt": 0.25}, run={"epochs": 1.0})
    noisy = augmented(EXAMPLES, asked, 1)
    assert noisy == augmented(EXAMPLES, asked, 1)
    lost: list[int] = []
    known = {word for one in EXAMPLES for word in one.turns[0].text.split()}
    strange = 0
    for one, before in zip(noisy, EXAMPLES, strict=True):
        told = json.loads(one.turns[1].text)
        assert one.turns[1] == before.turns[1]
        assert told["name"] in one.turns[0].text and str(told["order"]) in one.turns[0].text
        words = one.turns[0].text.split()
        lost.append(len(set(before.turns[0].text.split()) - set(words)))
        strange += sum(word not in known for word in words)
    disturbed = sum(count > 0 for count in lost)
    assert 0.14 * len(lost) < disturbed < 0.25 * len(lost), "a quarter, and of these those that lack a word"
    assert 1 <= sum(lost) / disturbed <= 3 and strange > disturbed


def test_words_that_tell_the_answer_are_only_mistyped_and_others_come_from_other_prompts() -> None:
    months = {"January": "01", "March": "03", "August": "08", "June": "06", "May": "05"}
    asked = [
        example(f"{frame} in {month} please", f'{{"month": "{number}"}}')
        for month, number in months.items()
        for frame in ("I bought it", "They sent that", "Somebody ordered this")
        for _ in range(8)
    ]
    noisy = augmented(asked, recipe(data={"noise_prompt": 1.0}, run={"epochs": 1.0}), 1)
    pairs = [
        (one.turns[0].text.split(), before.turns[0].text.split()) for one, before in zip(noisy, asked, strict=True)
    ]
    said = [(now[-2] if len(now) > 1 else "", before[-2]) for now, before in pairs if now[-1:] == ["please"]]
    assert all(month in months and told[0] == month[0] and abs(len(told) - len(month)) <= 1 for told, month in said)
    assert 0.25 < sum(told != month for told, month in said) / len(said) < 0.65
    assert sum("bought" in before and "bought" not in now for now, before in pairs) > 5
    assert sum("ordered" in now and "ordered" not in before for now, before in pairs) > 0


def test_each_sentence_is_disturbed_by_itself_and_units_stay_in_half_of_the_prompts() -> None:
    asked = [example("First comes this long part. Then follows 25 euros later on", f"{n} no") for n in range(400)]
    noisy = augmented(asked, recipe(data={"noise_prompt": 1.0}, run={"epochs": 1.0}), 1)
    sentences = [one.turns[0].text.split(". ") for one in noisy]
    same = [(first == "First comes this long part", "Then" in second) for first, second in sentences]
    assert {(True, False), (False, True), (False, False)} <= set(same)
    assert all("25" in second for _, second in sentences)
    units, others = (sum(word in second for _, second in sentences) for word in ("25 euros", "later"))
    assert others + 40 < units, "units stay where what is beside numbers does"


def test_prompts_that_are_repeated_whole_have_no_words_for_others() -> None:
    asked = [example(f"repeat {word} now", f"repeat {word}") for word in ("alpha", "beta", "gamma") * 9]
    noisy = augmented(asked, recipe(data={"noise_prompt": 1.0}, run={"epochs": 1.0}), 1)
    assert all(one.turns[0].text.startswith(before.turns[1].text) for one, before in zip(noisy, asked, strict=True))
    whole = [*[example("repeat alpha", "repeat alpha")] * POOL, *[example("alpha then", "alpha")] * 9]
    last = augmented(whole, recipe(data={"noise_prompt": 1.0}, run={"epochs": 1.0}), 1)[-9:]
    assert any(one.turns[0].text != "alpha then" for one in last)


@given(st.sampled_from(["mended", "May", "Straße"]), st.integers())
def test_a_mistyped_word_begins_alike_and_differs_in_a_letter_or_two(word: str, seed: int) -> None:
    wrong = mistyped(word, random.Random(seed))
    assert wrong[0] == word[0] and abs(len(wrong) - len(word)) <= 1
    kept = sum(a == b for a, b in zip(wrong, word, strict=False)) + sum(
        a == b for a, b in zip(wrong[::-1], word[::-1], strict=False)
    )
    assert kept >= len(word) - 2


def test_capitals_change_what_the_answer_does_not_repeat() -> None:
    noisy = augmented(EXAMPLES, recipe(data={"noise_capitals": 1.0}, run={"epochs": 1.0}), 1)
    assert len(noisy) == len(EXAMPLES)
    for one, before in zip(noisy, EXAMPLES, strict=True):
        assert one.turns[1] == before.turns[1]
        assert one.turns[0].text.casefold() == before.turns[0].text.casefold()
        assert json.loads(one.turns[1].text)["name"] in one.turns[0].text.split()
    assert {one.turns[0].text.split()[0] for one in noisy} == {"customer", "CUSTOMER", "Customer"}
    assert all(name in NAMES for name in NAMES)


@given(st.sampled_from(["Anna", "USB", "wort", "Straße"]), st.integers())
def test_a_made_up_word_has_the_length_and_case_of_the_word(word: str, seed: int) -> None:
    made = made_up(word, random.Random(seed))
    assert len(made) == len(word) and made.isupper() == word.isupper() and made[0].isupper() == word[0].isupper()
