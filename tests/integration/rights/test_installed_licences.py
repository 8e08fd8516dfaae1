"""Every licence text on this machine: what is taken for a known licence is that one, by another way of looking."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from pathlib import Path

from freehold.rights import clauses
from freehold.rights.detection import detect_text

TEXTS = Path(clauses.__file__).parent / "texts"
SITE = Path(sysconfig.get_paths()["purelib"])
ROOTS = (SITE, Path("/usr/lib/node_modules"))
BEGINS = {"mit": "permissionisherebygranted", "apache-2.0": "termsandconditionsforuse"}
ENDS = {"mit": "dealingsinthesoftware", "apache-2.0": "additionalliability"}
RULES = re.compile(r"\b(not|only|except|unless|commercial|purposes?|prohibited|provided|million)\b", re.IGNORECASE)


def installed() -> list[Path]:
    """Texts of packages, of Debian's, and of npm's: read where they lie."""
    found = [
        path
        for root in ROOTS
        for path in root.rglob("*")
        if re.search(r"licen[cs]e|^copying", path.name, re.IGNORECASE)
        and path.suffix in ("", ".txt", ".md", ".rst")
        and path.is_file()
    ]
    debian = [path for path in Path("/usr/share/doc").glob("*/copyright") if path.is_file()]
    common = [path for path in Path("/usr/share/common-licenses").glob("*") if path.is_file()]
    return found + debian + common


def letters(text: str) -> str:
    """Nothing but letters and figures, so that no rule on lines, marks or spaces has a say."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def terms(text: str, licence: str) -> str:
    """What lies between a licence's first words and its last."""
    squeezed = letters(text)
    begin, end = squeezed.index(BEGINS[licence]), squeezed.index(ENDS[licence])
    return squeezed[begin:end]


def test_what_is_taken_for_a_licence_is_that_licence() -> None:
    kept = {name: terms((TEXTS / f"{name}.txt").read_text(), name) for name in BEGINS}
    taken: Counter[str] = Counter()
    for path in installed():
        text = path.read_bytes()
        licence = detect_text(text, path.name).licence
        if licence is None:
            continue
        taken[licence] += 1
        said = text.decode("utf-8", errors="replace")
        assert terms(said, licence).replace("https", "http") == kept[licence], path
        head = re.split(r"permission\s+is\s+hereby|terms\s+and\s+conditions\s+for", said, flags=re.IGNORECASE)[0]
        assert not RULES.search(head) and len(head) < 1500, path
        foot = letters(said)[letters(said).index(ENDS[licence]) + len(ENDS[licence]) :]
        assert licence == "apache-2.0" or foot == "", path
    assert min(taken["mit"], taken["apache-2.0"]) >= 10


def test_debians_common_licences_are_not_taken_for_others() -> None:
    for path in Path("/usr/share/common-licenses").glob("*"):
        licence = detect_text(path.read_bytes(), path.name).licence
        assert licence == ("apache-2.0" if path.name == "Apache-2.0" else None), path
