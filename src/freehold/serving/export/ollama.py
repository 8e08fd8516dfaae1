"""A Modelfile, by which Ollama makes a model of a GGUF file.

Ollama does not read the chat template in the file: it has templates of its own (Go's). One turn of the caller's is all
that a student is ever given, so that what the chat template puts around it is put there as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from freehold.domain.errors import StudentError

_ASKED = "7b1c39e0-asked"


def modelfile(
    gguf: Path, template: str, *, context: int, max_answer_tokens: int, stops: Sequence[str], specials: dict[str, str]
) -> str:
    """The text of a Modelfile beside `gguf`.

    Args:
        gguf: the exported file.
        template: the model's chat template (Jinja).
        context: tokens.
        max_answer_tokens: after which an answer is broken off.
        stops: texts that end an answer.
        specials: the tokenizer's special tokens by name (`bos_token`, …), for the template.

    Raises:
        StudentError: the chat template cannot be carried out, or does not show what was asked once.
    """
    around = _around(template, specials)
    lines = [f"FROM ./{gguf.name}", f'TEMPLATE """{around[0]}{{{{ .Prompt }}}}{around[1]}{{{{ .Response }}}}"""']
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in stops]
    lines += ["PARAMETER temperature 0", f"PARAMETER num_ctx {context}", f"PARAMETER num_predict {max_answer_tokens}"]
    return "\n".join(lines) + "\n"


def _around(template: str, specials: dict[str, str]) -> tuple[str, str]:
    """What the template puts before and after one turn of the caller's."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # As transformers reads chat templates: blocks leave no lines behind, and nothing beyond the sandbox is reached.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    turns = [{"role": "user", "content": _ASKED}]
    try:
        text = environment.from_string(template).render(messages=turns, add_generation_prompt=True, **specials)
    except TemplateError as error:
        raise StudentError(
            f"The chat template cannot be carried out: {error}.", "Mend it in the model's folder."
        ) from error
    before, found, after = text.partition(_ASKED)
    if not found or _ASKED in after or '"""' in text or "{{" in text:
        raise StudentError("The chat template cannot be said as a Modelfile.", "Serve the GGUF file with llama.cpp.")
    bos = specials.get("bos_token", "")
    return (before.removeprefix(bos) if bos else before), after  # llama.cpp puts it there itself


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
