"""Licence texts: taken for what was read, word for word, and for nothing else."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import distributions
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import NotFound
from freehold.rights import detection as detecting
from freehold.rights.clauses import licences
from freehold.rights.detection import detect, detect_text

TEXTS = Path(detecting.__file__).parent / "texts"
MIT = (TEXTS / "mit.txt").read_text()
APACHE = (TEXTS / "apache-2.0.txt").read_text()
CONDITION = """
Our only modification is that, if the Software (or any derivative works thereof) is used for any commercial product
with more than 100 million monthly active users, you shall prominently display "Kimi K2" on its user interface.
"""


def folder_of(tmp_path: Path, **contents: str) -> Path:
    for name, text in contents.items():
        (tmp_path / name.replace("_", ".")).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        MIT,
        MIT.replace("<year> <copyright holders>", "2025 Somebody Else"),
        MIT.replace("MIT License\n", "The MIT License (MIT)\n").replace("\n", "\r\n"),
        MIT.replace('"', "”").replace("Permission is", "   Permission\n is"),
    ],
)
def test_mit_in_other_clothes(text: str) -> None:
    assert detect_text(text.encode()).licence == "mit"


@pytest.mark.parametrize(
    "text", [APACHE, APACHE.replace("http://", "https://"), APACHE.partition("   END OF TERMS")[0], APACHE.strip()]
)
def test_apache_in_other_clothes(text: str) -> None:
    assert detect_text(text.encode()).licence == "apache-2.0"


def test_apache_with_more_is_not_apache() -> None:
    found = detect_text((APACHE + "\nUse must also follow our policy of acceptable use.\n").encode())
    assert (found.licence, found.how, found.nearest) == (None, "near", "apache-2.0")
    assert any("policy of acceptable use" in line for line in found.differences)


def test_modified_mit_is_not_mit() -> None:
    found = detect_text(("Modified MIT License\n" + MIT + CONDITION).encode())
    assert found.licence is None and found.how == "near" and found.nearest == "kimi-k2-modified-mit"
    found = detect_text((MIT + CONDITION.replace("Kimi K2", "MiniMax M2")).encode())
    assert found.licence is None and found.nearest == "minimax-m2-modified-mit"


def test_a_family_name_alone_decides_nothing() -> None:
    found = detect_text(b"META LLAMA 3 COMMUNITY LICENSE AGREEMENT\nVersion Release Date: April 18, 2024\n")
    assert (found.licence, found.how, found.nearest) == (None, "near", "llama-3") and found.differences
    found = detect_text(b"LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\nLlama 3.1 Version Release Date: July 23, 2024\n")
    assert (found.licence, found.nearest) == (None, "llama-3.1")


def test_marks_are_of_one_licence_each() -> None:
    for entry in licences().values():
        if entry.marks:
            found = detect_text(" ".join(entry.marks).encode())
            assert found.licence is None and found.nearest == entry.id


def test_the_hash_of_a_text_that_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"a text"
    monkeypatch.setattr(detecting, "_by_hash", lambda: {hashlib.sha256(data).hexdigest(): "llama-3"})
    assert detect_text(data).licence == "llama-3"
    assert detect_text(data + b" ").licence is None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([MIT, APACHE]), st.data())
def test_a_changed_word_is_never_overlooked(text: str, data: st.DataObject) -> None:
    body = text.split("holders>")[-1].partition("APPENDIX")[0].partition("END OF TERMS")[0]
    words = body.split()
    at = data.draw(st.integers(3, len(words) - 1))
    change = data.draw(st.sampled_from(["drop", "not", "twice"]))
    words[at] = {"drop": "", "not": "not " + words[at], "twice": words[at] + " " + words[at]}[change]
    assert detect_text(" ".join(words).encode()).licence is None


def test_texts_of_installed_packages() -> None:
    """Whatever is taken for MIT or Apache says so itself, in its first words."""
    taken = 0
    for distribution in distributions():
        for file in distribution.files or ():
            if "LICENSE" in file.name and (path := Path(str(file.locate()))).is_file():
                text = path.read_bytes()
                found = detect_text(text)
                if found.licence is not None:
                    taken += 1
                    sign = b"Permission is hereby granted" if found.licence == "mit" else b"Apache License"
                    assert sign in text and b"GNU" not in text
    assert taken > 10


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        detect(tmp_path / "nowhere")
    assert detect(tmp_path).how == "unknown"
    folder_of(tmp_path, README_md="---\nlicense: llama3.1\n---\n# A model\n")
    found = detect(tmp_path)
    assert (found.licence, found.how) == ("llama-3.1", "metadata") and found.declared == {"README.md": "llama3.1"}
    folder_of(tmp_path, LICENSE=MIT)
    found = detect(tmp_path)
    assert found.licence is None and found.conflicts == ("README.md declares llama3.1, LICENSE is mit.",)
    folder_of(tmp_path, README_md="---\nlicense: mit\n---\n", config_json=json.dumps({"license": "mit"}))
    assert detect(tmp_path).licence == "mit" and detect(tmp_path).how == "exact"
    folder_of(tmp_path, LICENSE_txt="Some words of our own. " * 30)
    assert detect(tmp_path).licence is None


def test_declarations_that_mean_several_texts_are_not_guessed(tmp_path: Path) -> None:
    folder_of(tmp_path, README_md="---\nlicense: gemma\n---\n")
    assert detect(tmp_path).licence is None
    folder_of(tmp_path, README_md="---\nlicense: other\nlicense_name: qwen\n---\n", config_json="{broken")
    assert detect(tmp_path).licence is None and detect(tmp_path).declared == {"README.md": "qwen"}
