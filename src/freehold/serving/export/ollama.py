"""A Modelfile, by which Ollama makes a model of a GGUF file.

Ollama does not read the chat template in the file: it has templates of its own (Go's). One turn of the caller's is all
that a student is ever given, so what the chat template puts around it is put there as it is.
"""

from __future__ import annotations

from pathlib import Path

from freehold.domain.errors import StudentError
from freehold.serving.chat_template import ChatTemplate

_ASKED = "7b1c39e0-asked"


def modelfile(gguf: Path, template: ChatTemplate, *, context: int, max_answer_tokens: int) -> str:
    """The text of a Modelfile beside `gguf`.

    Args:
        gguf: the exported file.
        template: the model's chat template.
        context: tokens.
        max_answer_tokens: after which an answer is broken off.

    Raises:
        StudentError: what stands around a turn cannot be said in a Modelfile.
        TrainingError: the chat template cannot be carried out.
    """
    text = template.render([{"role": "user", "content": _ASKED}], answer_next=True)
    before, found, after = text.partition(_ASKED)
    if not found or _ASKED in after or '"""' in text or "{{" in text:
        raise StudentError("The chat template cannot be said as a Modelfile.", "Serve the GGUF file with llama.cpp.")
    before = before.removeprefix(template.special.get("bos_token", ""))  # llama.cpp puts it there itself
    lines = [f"FROM ./{gguf.name}", f'TEMPLATE """{before}{{{{ .Prompt }}}}{after}{{{{ .Response }}}}"""']
    if "eos_token" in template.special:
        lines.append(f"PARAMETER stop {_quoted(template.special['eos_token'])}")
    lines += ["PARAMETER temperature 0", f"PARAMETER num_ctx {context}", f"PARAMETER num_predict {max_answer_tokens}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
