"""A byte-level BPE tokenizer as GGUF says it.

llama.cpp does not read how a tokenizer splits texts before it merges bytes; it knows some ways by name
(`tokenizer.ggml.pre`), and a wrong name gives other tokens without an error. So the name is looked up by the splitting
itself, and a tokenizer that splits in no known way is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from freehold.domain.errors import StudentError

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""GGUF's types of tokens."""
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_PATTERNS = {_QWEN: "qwen2", _LLAMA3: "llama-bpe"}
"""Regular expression of a `Split` → llama.cpp's name for it."""
_IDS = ("bos", "eos", "unk", "pad")


class Vocabulary(NamedTuple):
    """What GGUF's `tokenizer.ggml.*` keys hold."""

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    ids: dict[str, int]
    """`bos`, `eos`, `unk`, `pad`: those there are."""
    add_bos: bool


def vocabulary_of(files: Mapping[str, Path], size: int) -> Vocabulary:
    """The vocabulary among a model's files.

    Args:
        files: `tokenizer.json` and what lies beside it.
        size: rows of the embedding; those without a token are named so that nothing gives them.

    Raises:
        StudentError: it is no byte-level BPE, splits texts in a way that llama.cpp does not know, or has tokens that
            the embedding has no rows for.
    """
    if "tokenizer.json" not in files:
        raise StudentError("The model has no tokenizer.json.", "Save its fast tokenizer beside it.")
    core = _json(files["tokenizer.json"])
    settings = _json(files["tokenizer_config.json"]) if "tokenizer_config.json" in files else {}
    model = core.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise _unknown(f"its tokenizer is {model.get('type')}{' over characters' * bool(model.get('byte_fallback'))}")
    pre = _pre(core, model)
    tokens, types = _tokens(core, model, size)
    places = {token: at for at, token in enumerate(tokens)}
    ids: dict[str, int] = {}
    for which in _IDS:
        content = _content(settings.get(f"{which}_token"))
        if content in places:
            ids[which] = places[content]
    return Vocabulary(
        pre=pre,
        tokens=tokens,
        types=types,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges") or []],
        ids=ids,
        add_bos=bool(settings.get("add_bos_token")) or _begins(core.get("post_processor"), tokens, ids.get("bos")),
    )


def _pre(core: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """llama.cpp's name for how texts are split."""
    normalizer: Any = core.get("normalizer")
    if normalizer and normalizer.get("type") != "NFC":
        raise _unknown(f"it rewrites texts first ({normalizer.get('type')})")
    whole: Any = core.get("pre_tokenizer") or {}
    parts: list[Any] = whole.get("pretokenizers", []) if whole.get("type") == "Sequence" else [whole]
    *before, last = parts or [{}]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        raise _unknown("it does not work on bytes")
    own = last.get("use_regex", True)
    name = ""
    if not before and own:
        name = "gpt-2"
    elif len(before) == 1 and before[0].get("type") == "Digits" and before[0].get("individual_digits") and own:
        name = "smollm"
    elif len(before) == 1 and before[0].get("type") == "Split" and not own:
        name = _PATTERNS.get((before[0].get("pattern") or {}).get("Regex", ""), "")
        if before[0].get("behavior") != "Isolated" or before[0].get("invert"):
            name = ""
    if not name:
        raise _unknown("it splits texts in a way of its own")
    if normalizer and name != "qwen2":  # known to be NFC there, and left out by llama.cpp itself
        raise _unknown("it normalises texts first (NFC)")
    if bool(model.get("ignore_merges")) != (name == "llama-bpe"):
        raise _unknown("it takes whole words before it merges, or should and does not")
    return name


def _tokens(core: Mapping[str, Any], model: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{at}]" for at in range(size)]
    types = [UNUSED] * size
    given: dict[str, int] = model.get("vocab") or {}
    added: list[dict[str, Any]] = core.get("added_tokens") or []
    highest = max([*given.values(), *(token["id"] for token in added)], default=0)
    if highest >= size:
        raise StudentError(
            f"The tokenizer has a token {highest}, and the model's embedding {size} rows: they are not of one model.",
            "Take the tokenizer that the model was trained with.",
        )
    for token, at in given.items():
        tokens[at], types[at] = token, NORMAL
    for one in added:
        if one.get("lstrip") or one.get("rstrip") or one.get("single_word"):
            raise _unknown(f"its token {one['content']!r} takes spaces beside it")
        tokens[one["id"]], types[one["id"]] = one["content"], CONTROL if one.get("special") else USER_DEFINED
    return tokens, types


def _begins(processor: Any, tokens: list[str], bos: int | None) -> bool:
    """Whether a post-processor puts the token of the beginning before every text."""
    if bos is None or not isinstance(processor, dict):
        return False
    parts: list[Any] = processor.get("processors") or [processor]
    single: list[Any] = next((part["single"] for part in parts if part.get("type") == "TemplateProcessing"), [])
    first: Any = single[0] if single else {}
    return (first.get("SpecialToken") or {}).get("id") == tokens[bos]


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _unknown(why: str) -> StudentError:
    return StudentError(
        f"llama.cpp has no tokenizer like this model's: {why}.",
        "Serve it with `freehold student serve` or vLLM, which read tokenizer.json itself.",
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, OSError, RecursionError) as error:
        raise StudentError(f"{path} cannot be read: {error}.", "Copy the model's folder again.") from error
