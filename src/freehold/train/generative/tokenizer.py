"""How text becomes tokens: a tokenizer of a student's own, or that of its base, with its chat template.

Both are a Hugging Face folder's `tokenizer.json` and `tokenizer_config.json`, which vLLM, llama.cpp and transformers
read too.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from freehold.domain.errors import TrainingError
from freehold.serving.chat_template import CONFIG_FILE, ChatTemplate, read_chat_template, special_tokens
from freehold.train.recipes import Scratch

TOKENIZER_FILE = "tokenizer.json"
END = "<|end|>"
PAD = "<|pad|>"
ROLES = ("<|user|>", "<|assistant|>", "<|system|>", "<|tool|>")
SCRATCH_SPECIAL = (PAD, END, *ROLES)
"""Ids 0 to 5 of every tokenizer made here."""
SCRATCH_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' + (message['content'] or '') -}}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{{- '<|tool|>' + ({'name': call['function']['name'], 'arguments': call['function']['arguments']} | tojson) -}}"
    "{%- endfor -%}"
    "{{- '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
"""Special tokens do what line feeds would: none stands between the turns, where it would cost a token each time."""


TRAINING_DAY = datetime.datetime(2026, 1, 1)
"""What templates that tell the model the day are told while it is trained, whenever that is."""


_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
AS_LLAMA = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{_REST}"
"""How Llama 3 splits a text, which llama.cpp knows as "llama-bpe"."""
ALONE = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s"
"""How texts are split where pieces are learned: finer, so that none holds a word and what is before it."""
OFTEN = 20
"""Times that a word follows a space in all texts, to be one token with it: a token must be seen to be learned."""
_NUMBERS = tuple(f"{number:02}" for number in range(100))
_WORD, _AFTER_SPACE = re.compile(r"[^\W\d_]+"), re.compile(r" ([^\W\d_]+)")
_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
"""Writes bytes as letters, as vocabularies hold them."""


class SpecialIds(NamedTuple):
    """Ids that a model's configuration names."""

    pad: int
    end: int
    begin: int | None


class Tokenizer:
    """A tokenizer and its chat template."""

    def __init__(self, core: tokenizers.Tokenizer, template: ChatTemplate, config: Mapping[str, Any]) -> None:
        """`config`: what `tokenizer_config.json` says."""
        self.core = core
        self.template = template
        self.config = dict(config)
        named = special_tokens(config)
        self.end = named["eos_token"]
        end = core.token_to_id(self.end)
        if end is None:
            raise TrainingError(
                f"The tokenizer has no token {self.end!r}, which its configuration names as its end.",
                "Use the tokenizer's files as they were published.",
            )
        pad = core.token_to_id(named.get("pad_token", self.end))
        begin = core.token_to_id(named["bos_token"]) if "bos_token" in named else None
        self.ids = SpecialIds(end if pad is None else pad, end, begin)
        self._special = tuple(
            token.content for token in core.get_added_tokens_decoder().values() if token.special and token.content
        )

    @property
    def size(self) -> int:
        """Tokens in the vocabulary, special ones included: the rows of a model's embedding."""
        return self.core.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendered text; special tokens in it are what they say. Nothing is put before or after it."""
        return self.core.encode(_clean(text), add_special_tokens=False).ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for each text, quicker."""
        found = self.core.encode_batch([_clean(text) for text in texts], add_special_tokens=False)
        return [one.ids for one in found]

    def decode(self, ids: Sequence[int], *, special: bool = True) -> str:
        """The text of tokens; `special`: with the special ones."""
        return self.core.decode(list(ids), skip_special_tokens=not special)

    def holds_special(self, text: str) -> bool:
        """Whether a text from outside holds what is a special token here: it could then end a turn, or begin one."""
        return any(token in text for token in self._special)

    def end_of(self, text: str) -> int:
        """Where the last special token of a text ends; 0 if it has none."""
        return max((at + len(token) for token in self._special if (at := text.rfind(token)) >= 0), default=0)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` (with the chat template) into a model's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TOKENIZER_FILE).write_text(self.core.to_str(pretty=False), encoding="utf-8")
        config = {**self.config, "chat_template": self.template.text}
        (folder / CONFIG_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")


def train_tokenizer(told: Iterable[tuple[str, str]], recipe: Scratch, context: int = 0) -> Tokenizer:
    """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) on these texts: prompts and answers of fit rows only.

    Every number of two digits is a token, and longer ones are made of these and of single ones: to copy 866722 is to
    copy 8, 66, 7, 22. Single digits come again and again, so that it is hard to say which of them to go on from; of
    those with three too many are rare. No token joins a word that answers repeat from their prompts to the space or
    quote before it: copied from a sentence into a JSON string it is the same tokens in both. Of other words, those that
    often follow a space are one token with it: a quarter of all tokens less. Nothing is normalised and all bytes are in
    the vocabulary, so that every text comes back as it was. The same texts give the same tokenizer.

    Args:
        told: what is asked and what is answered, example by example.
        recipe: says how many pieces are learned; texts that are few and alike have less. Numbers, and words with the
            space before them, come on top.
        context: most tokens that the model will take, for `tokenizer_config.json`; 0: it is not said.
    """
    pairs = [(_clean(asked), _clean(answered)) for asked, answered in told]
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = _splitting(ALONE)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        min_frequency=2,
        show_progress=False,
        special_tokens=list(SCRATCH_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    core.train_from_iterator(chain.from_iterable(pairs), trainer)
    core = _with_more(core, _never_copied(pairs))
    core.pre_tokenizer = _splitting(AS_LLAMA)
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "pad_token": PAD,
        "additional_special_tokens": list(ROLES),
    }
    if context:
        config["model_max_length"] = context
    return Tokenizer(core, ChatTemplate(SCRATCH_TEMPLATE, {"eos_token": END, "pad_token": PAD}), config)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model's folder, a base's or a student's.

    Raises:
        TrainingError: it has no `tokenizer.json`, no chat template or no end token, or cannot be read.
    """
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise TrainingError(
            f"{folder} has no {TOKENIZER_FILE}.",
            "Name a base model with one; transformers writes it for older ones: "
            "`AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`.",
        )
    template = read_chat_template(folder, TRAINING_DAY)
    if template is None:
        raise TrainingError(
            f"{folder} has no chat template: nobody knows how this model tells a question from its answer.",
            "Name the model's instruct variant, or put the template that it was tuned with (or, for a plain base, any "
            f"that you choose) into {folder}/chat_template.jinja.",
        )
    if "eos_token" not in template.special:
        raise TrainingError(
            f"{folder}/{CONFIG_FILE} names no eos_token: an answer would have no end.",
            "Name the one it was tuned with.",
        )
    try:
        core = tokenizers.Tokenizer.from_file(str(path))
        config = msgspec.json.decode((folder / CONFIG_FILE).read_bytes(), type=dict[str, Any])
    except Exception as error:  # tokenizers raises nothing narrower
        raise TrainingError(f"{path} cannot be read: {error}.", "Fetch the model again, or name another.") from error
    core.no_truncation()
    core.no_padding()
    return Tokenizer(core, template, config)


def _splitting(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
            _LEVEL,
        ]
    )


def _never_copied(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Words that often follow a space, and that no answer repeats from its prompt; in order."""
    copied: set[str] = set()
    after_space = Counter[str]()
    for asked, answered in pairs:
        copied |= {*_WORD.findall(asked)} & {*_WORD.findall(answered)}
        after_space.update(_AFTER_SPACE.findall(f"{asked}\n{answered}"))
    return sorted(word for word, count in after_space.items() if count >= OFTEN and word not in copied)


def _with_more(core: tokenizers.Tokenizer, words: Sequence[str]) -> tokenizers.Tokenizer:
    """The tokenizer with a token for every number of two digits, and for each of the words, if it is one token, with
    the space before it."""
    described = msgspec.json.decode(core.to_str(), type=dict[str, Any])
    model = described["model"]
    model["ignore_merges"] = True  # as Llama 3 has it, and llama.cpp takes for granted: a whole word is one look-up
    vocabulary, ours = model["vocab"], frozenset(_NUMBERS)
    space, *written = (_LEVEL.pre_tokenize_str(text)[0][0] for text in (" ", *words))
    joined = [[space, word] for word in written if word in vocabulary]
    for token in (*_NUMBERS, *map("".join, joined)):
        vocabulary.setdefault(token, len(vocabulary))
    numbers = [[number[:-1], number[-1]] for number in _NUMBERS]
    # In front: no other merge has digits in it, as digits are split from all else.
    learned = [[*pair] for pair in model["merges"] if "".join(pair) not in ours]
    model["merges"] = [*numbers, *learned, *joined]
    return tokenizers.Tokenizer.from_str(msgspec.json.encode(described).decode())


def _clean(text: str) -> str:
    """`text` with `?` for lone surrogates, which no UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()
