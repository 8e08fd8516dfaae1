"""Calls whose instructions vary in ways no mask knows are gathered; two calls never become one."""

from __future__ import annotations

import pytest

from freehold.curate import find_templates
from freehold.curate.templates import MIN_VARIANTS
from freehold.domain.fingerprint import Shape, TemplateIndex

FIRST = ["Ada", "Ben", "Cem", "Dora", "Eli", "Fay", "Gus", "Hal", "Ida", "Jan", "Kim", "Lea"]
LAST = ["Abel", "Berg", "Cole", "Dorn", "Ende", "Frey"]
NAMES = [f"{FIRST[n % 12]} {LAST[(n + n // 12) % 6]}" for n in range(72)]


def _shapes(pattern: str, names: list[str] = NAMES, context: str = "c") -> list[Shape]:
    return [Shape(context, pattern.format(name)) for name in names]


def test_names_gather_and_the_template_matches_names_not_seen_before() -> None:
    [template] = find_templates(_shapes("You help {} with their bank account today."))
    assert template.words == ("You", "help", None, "with", "their", "bank", "account", "today.")
    index = TemplateIndex([template])
    for name in ("Zoe Quist", "Zoe", "Maria del Carmen Ruiz"):
        assert index.match(Shape("c", f"You help {name} with their bank account today.")) == template
    for other in (
        Shape("d", "You help Zoe with their bank account today."),
        Shape("c", "You help Zoe with their tax account today."),
        Shape("c", "You help with their bank account today."),
        Shape("c", "You help Zoe with their bank account today. Be brief."),
    ):
        assert index.match(other) is None


def test_the_order_of_traffic_does_not_change_a_template() -> None:
    shapes = _shapes("You help {} with their bank account today.")
    assert find_templates(shapes) == find_templates(shapes[::-1])


@pytest.mark.parametrize("words", [("intent", "urgency"), ("intent", "urgency", "topic", "mood", "team")])
def test_calls_that_differ_in_one_telling_word_are_never_made_one(words: tuple[str, ...]) -> None:
    shapes = [
        shape
        for word in words
        for shape in _shapes("Say the " + word + " of the message that our customer {} wrote to the desk.")
    ]
    templates = find_templates(shapes)
    assert len(templates) == len(words), "each is gathered for itself"
    for word in words:
        [match] = [t for t in templates if word in t.words]
        assert TemplateIndex([match]).match(shapes[0]) == (match if word == words[0] else None)
    assert len({template.task for template in templates}) == len(words)


def test_a_telling_word_alone_makes_no_template() -> None:
    assert (
        find_templates([Shape("c", f"Say the {word} of this message now.") for word in ("intent", "urgency")] * 50)
        == []
    )


def test_too_few_variants_wait() -> None:
    few = _shapes("You help {} with their bank account today.", NAMES[: MIN_VARIANTS - 1])
    assert find_templates(few) == []
    assert len(find_templates([*few, Shape("c", "You help Zoe Quist with their bank account today.")])) == 1


def test_other_contexts_and_unlike_texts_stay_apart() -> None:
    half = len(NAMES) // 2
    shapes = _shapes("You help {} with their bank account today.", NAMES[:half]) + _shapes(
        "You help {} with their bank account today.", NAMES[half:], context="other"
    )
    assert len(find_templates(shapes)) == 2
    unlike = [Shape("c", " ".join(f"w{n}x{place}" for place in range(8))) for n in range(60)]
    assert find_templates(unlike) == []
