"""Licence texts: taken for what was read, word for word, and for nothing else, whatever is changed and wherever."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.rights import clauses
from freehold.rights.clauses import licences
from freehold.rights.detection import detect_text, texts
from freehold.rights.detection.words import is_copyright

TEXTS = Path(clauses.__file__).parent / "texts"
MIT = (TEXTS / "mit.txt").read_text()
APACHE = (TEXTS / "apache-2.0.txt").read_text()
KEPT = {"mit": MIT, "apache-2.0": APACHE}
SWEPT = [
    "Copyright notices aside, the Software may not be used commercially.",
    "(c) The Software shall not be used by more than 100 million users a month.",
    "Copyright (c) 2026 Somebody. Non-commercial use only.",
    "Copyright (c) 2026 Somebody. All rights reserved except for research purposes.",
    "Copyright 2026 Somebody. Nur Forschung erlaubt.",
    "All rights reserved. You may not train models on outputs.",
    "# Only for research.",
    '** You shall display "Built with Somebody". **',
    "The Software shall be used for Good, not Evil.",
    "Except as contained in this notice, the name of Somebody shall not be used in advertising.",
    "Redistributions in binary form must reproduce the above copyright notice.",
    "You must also follow our Acceptable Use Policy, which may change.",
    "END OF TERMS AND CONDITIONS\nNothing above applies to companies with more than 700 million users.",
]
"""Clauses that somebody may add; some look like lines that are ignored elsewhere."""


def changed_text(licence: str) -> list[str]:
    """A kept text's lines."""
    return KEPT[licence].splitlines()


def first_term(lines: list[str]) -> int:
    """Where the terms begin, below titles and copyright lines."""
    return next(at for at, line in enumerate(lines) if "Permission is hereby" in line or "Apache License" in line)


@pytest.mark.parametrize(
    "text",
    [
        MIT,
        MIT.replace("<year> <copyright holders>", "2025 Somebody Else and the pandas contributors (some@where.org)"),
        MIT.replace("MIT License\n", "(The MIT License)\n").replace("\n", "\r\n"),
        MIT.replace('"', "”").replace("Permission is", "   Permission\n is"),
        MIT.replace("MIT License\n", ""),
        "\n".join(f"# {line}" for line in MIT.splitlines()),
        " ".join(MIT[MIT.index("Permission") :].split()),
    ],
)
def test_mit_in_other_clothes(text: str) -> None:
    assert detect_text(text.encode()).licence == "mit"
    assert detect_text(text.encode("utf-8-sig")).licence == "mit"
    assert detect_text("\ufeff".encode("utf-16-le") + text.encode("utf-16-le")).licence == "mit"


@pytest.mark.parametrize(
    "text",
    [
        APACHE,
        APACHE.replace("http://", "https://"),
        APACHE.partition("   END OF TERMS")[0],
        APACHE.strip(),
        APACHE.replace("[yyyy] [name of copyright owner]", "2024 Somebody Else, Inc. All rights reserved."),
        "Copyright 2024 Somebody\n\n" + APACHE,
    ],
)
def test_apache_in_other_clothes(text: str) -> None:
    assert detect_text(text.encode()).licence == "apache-2.0"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KEPT)), st.data())
def test_a_changed_word_is_never_overlooked(licence: str, data: st.DataObject) -> None:
    """In the text as it is laid out, whatever a line begins with."""
    lines = changed_text(licence)
    choices = [
        at for at in range(first_term(lines), len(lines)) if lines[at].strip() and not is_copyright(lines[at].strip())
    ]
    at = data.draw(st.sampled_from(choices))
    words = lines[at].split()
    place = data.draw(st.integers(0, len(words) - 1))
    change = data.draw(
        st.sampled_from(["", "not {0}", "{0} {0}", "{0}s", "100,000,000", "{0} non-commercial", "never"])
    )
    words[place] = change.format(words[place])
    changed = "\n".join([*lines[:at], " ".join(words), *lines[at + 1 :]])
    if changed.split() != KEPT[licence].split():
        found = detect_text(changed.encode())
        assert found.licence is None, changed
        assert found.nearest == licence and found.differences


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KEPT)), st.sampled_from(SWEPT), st.data())
def test_an_added_clause_is_never_overlooked(licence: str, clause: str, data: st.DataObject) -> None:
    lines = changed_text(licence)
    at = data.draw(st.integers(0, len(lines)))
    found = detect_text("\n".join([*lines[:at], clause, *lines[at:]]).encode())
    assert found.licence is None
    if found.how == "near":
        assert any(word in line for line in found.differences for word in clause.lower().replace('"', "'").split()[:4])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(KEPT)), st.data())
def test_a_missing_line_is_never_overlooked(licence: str, data: st.DataObject) -> None:
    lines = changed_text(licence)
    end = next((at for at, line in enumerate(lines) if "END OF TERMS" in line), len(lines))
    choices = [at for at in range(first_term(lines), end) if lines[at].strip()]
    at = data.draw(st.sampled_from(choices))
    assert detect_text("\n".join([*lines[:at], *lines[at + 1 :]]).encode()).licence is None


def test_the_difference_is_shown() -> None:
    found = detect_text(MIT.replace("and/or sell", "but not sell").encode())
    assert found.how == "near" and found.differences == (
        "after “copy, modify, merge, publish, distribute, sublicense,”: “and/or” became “but not”",
    )
    found = detect_text((APACHE + "\nUse must also follow our policy of acceptable use.\n").encode())
    assert (found.licence, found.how, found.nearest) == (None, "near", "apache-2.0")
    assert any("policy of acceptable use" in line for line in found.differences)


FAMILIES = {
    "x11": MIT + "\nExcept as contained in this notice, the name of the holders shall not be used in advertising.",
    "mit-0": MIT.partition("subject to the following conditions")[0]
    + ".\n\nTHE SOFTWARE IS"
    + MIT.split("SOFTWARE IS")[1],
    "json": MIT.replace("THE SOFTWARE IS", "The Software shall be used for Good, not Evil.\n\nTHE SOFTWARE IS"),
    "isc": "ISC License\n\nAnybody may use, copy, modify and distribute this with or without fee, if the notice stays.",
    "modified-mit": "Modified MIT License\n" + MIT + 'Above 100 million users a month, display "Kimi K2".',
    "modified-mit-2": MIT + 'Above 100 million users a month, display "MiniMax M2".',
    "apache-aup": APACHE + "\nAcceptable Use Policy\nThe model must not be used for the purposes listed below.",
    "apache-llvm": APACHE.replace(
        "END OF TERMS AND CONDITIONS", "---- Exceptions: portions embedded in object form ----"
    ),
    "apache-1.1": "Apache License, Version 1.1\nRedistribution is permitted if this acknowledgment is included.",
    "gpl": "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007\nYou may convey it under this licence only.",
    "agpl": "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3, 19 November 2007\nUsers over a network get the source.",
    "cc-by": "Attribution 4.0 International\nShare and adapt for any purpose, with attribution.",
    "cc-by-nc-sa": "Attribution-NonCommercial-ShareAlike 4.0 International\nNot for commercial purposes, alike.",
    "cc-by-nc-nd": "Attribution-NonCommercial-NoDerivatives 4.0 International\nNot for commercial purposes, unchanged.",
    "qwen-research": "Qwen RESEARCH LICENSE AGREEMENT\nRelease Date: September 19, 2024\nNo commerce.",
    "qwen-100m": "Qwen LICENSE AGREEMENT\nRelease Date: September 19, 2024\nMore than 10 million users: ask us first.",
    "llama-3-700m": "META LLAMA 3 COMMUNITY LICENSE AGREEMENT\nApril 18, 2024\nMore than 100 million users: ask first.",
    "openrail": "CreativeML Open RAIL-M\nUse restrictions of Attachment A go along with derivatives.",
}


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_relatives_are_not_taken_for_each_other(name: str) -> None:
    found = detect_text(FAMILIES[name].encode())
    assert found.licence is None and found.how in ("near", "unknown")


@pytest.mark.parametrize("name", sorted(licences()))
def test_what_names_itself_a_licence_and_says_what_the_table_says_is_not_its_text(name: str) -> None:
    entry = licences()[name]
    says = "\n\n".join(f"{at}. {clause.says}" for at, clause in enumerate(entry.clauses, 1))
    found = detect_text(f"{entry.name}\n\n{' '.join(entry.marks)}\n\n{says}\n".encode())
    assert found.licence is None
    if entry.marks:
        assert (found.how, found.nearest) == ("near", name) and found.differences


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_text_by_its_hash_and_what_differs_in_a_byte(data: st.DataObject) -> None:
    """Ends of lines may differ, for the same text comes with either; no other byte may."""
    text = b"SOMEBODY'S COMMUNITY LICENSE\n\n1. Below 700 million users a month.\n2. Display the name.\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "hashes", lambda: {hashlib.sha256(text).hexdigest(): "llama-3"})
        for same in (text, text.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + text, text.rstrip()):
            assert detect_text(same).licence == "llama-3"
        at = data.draw(st.integers(0, len(text) - 2))
        byte = data.draw(st.sampled_from([b"", b"x", b"1", b" ", b"."]))
        if byte != text[at : at + 1] and (text[:at] + byte + text[at + 1 :]).strip() != text.strip():
            assert detect_text(text[:at] + byte + text[at + 1 :]).licence is None


def test_no_hash_stands_for_two_licences() -> None:
    hashes = [(text.sha256, entry.id) for entry in licences().values() for text in entry.texts if text.sha256]
    assert len({digest for digest, _ in hashes}) == len(set(hashes)) and texts.hashes()


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x01\x02" * 99, b"%PDF-1.7\n\x00", b"\xff\xfe\x00", MIT.encode() + b"\x00"]
)
def test_what_is_no_text_is_nothing(data: bytes) -> None:
    assert detect_text(data).licence is None


def test_hostile_text_takes_bounded_time() -> None:
    found = detect_text((MIT + "the software is " * 100_000).encode())
    assert found.licence is None and any("were not compared" in line for line in found.differences)
