"""Which JSON Schema a student keeps to: the one that all requests asked for, if the answers that it learns can.

A grammar has an order for the keys of an object, the schema's. Incumbents that do not enforce schemas may write them in
another; a student that learned that order and is forced into this one answers nonsense.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from freehold.domain.errors import RequestError
from freehold.domain.evidence import Sample

LEAST_KEPT = 0.9
"""Share of the incumbent's answers that must keep to the schema to the letter."""
LOOKED_AT = 300
_log = structlog.get_logger()


def answer_schema(samples: Sequence[Sample], model: Path) -> str:
    """The schema as JSON; empty: none, not one and the same, or not to be kept to, which the log says.

    Args:
        samples: of the dataset.
        model: folder with the tokenizer and configuration of the student, or of its base.

    Raises:
        ConfigError: what keeps answers to a schema is not installed.
        StudentError: the folder's files cannot be read.
    """
    found = {sample.answer_schema for sample in samples}
    wanted = found.pop() if len(found) == 1 else ""
    if not wanted:
        return ""
    answers = [sample.answer for sample in samples if sample.part != "certify"][:LOOKED_AT]
    try:
        kept = _share_kept(msgspec.json.decode(wanted, type=dict[str, Any]), answers, model)
    except RequestError as error:
        _log.warning("schema-not-kept-to", error=str(error))
        return ""
    if kept < LEAST_KEPT:
        _log.warning("schema-not-kept-to", error=f"{kept:.0%} of the incumbent's answers keep to it to the letter.")
        return ""
    return wanted


def _share_kept(schema: dict[str, Any], answers: Sequence[str], model: Path) -> float:
    from freehold.serving.engine.config import read_config  # late: it needs an extra
    from freehold.serving.engine.grammar import Grammars
    from freehold.serving.engine.text import Words

    words, config = Words(model), read_config(model)
    grammars = Grammars(words.json, config.vocabulary, config.ends)
    said = [[*words.encode(answer, special=False), *config.ends[:1]] for answer in answers]
    return sum(grammars.allows(schema, tokens) for tokens in said) / max(1, len(said))
