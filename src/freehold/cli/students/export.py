"""`freehold student export`: a student as one file that llama.cpp and Ollama load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from freehold.cli.common import config_option, echo_json, json_option, settings_at
from freehold.cli.students.find import find_student
from freehold.domain.errors import StudentError

_TYPES = ("f32", "f16", "q8_0")


@click.command("export")
@click.argument("student")
@click.option("--to", type=click.Path(path_type=Path), required=True, metavar="FILE.gguf",
              help="A file that does not exist yet.")  # fmt: skip
@click.option("--type", "kind", type=click.Choice(_TYPES), default="f16", show_default=True,
              help="Of its numbers: q8_0 takes half of f16's room, and may answer a little differently.")  # fmt: skip
@click.option("--ollama", is_flag=True, help="Write a Modelfile beside it, for `ollama create`.")
@config_option
@json_option
def export_command(student: str, to: Path, kind: Any, ollama: bool, config: str | None, as_json: bool) -> None:
    """Write STUDENT (its id, or its folder) to a GGUF file; an adapter is merged into its base.

    What a copy answers elsewhere is neither recorded nor audited: the certificate covers the gateway's answers only.
    Giving the file to others is for `freehold release` to judge.
    """
    from freehold.serving.export import export_gguf

    _, settings = settings_at(config)
    name, _, found = find_student(settings, student)
    chat = found.source.chat_template
    written = export_gguf(found.source, to, kind, name=name, context=found.manifest.context)
    made: Path | None = None
    if ollama:
        from freehold.serving.export import modelfile

        if chat is None:
            raise StudentError(f"{student} has no chat template.", "Leave --ollama away.")
        most = found.manifest.max_answer_tokens
        made = to.with_name("Modelfile")
        made.write_text(modelfile(to, chat, context=written.context, max_answer_tokens=most), encoding="utf-8")
    if as_json:
        facts = {"bytes": written.bytes, "context": written.context, "tensors": written.tensors, "pre": written.pre}
        echo_json({"student": name, "file": str(to), "type": kind, **facts, "modelfile": str(made) if made else None})
        return
    click.echo(f"{to}: {written.bytes:,} bytes, {written.tensors} tensors as {kind}, {written.context} tokens.")
    click.echo(f"Next: `llama-server -m {to} -c {written.context} --temp 0`")
    if made is not None:
        click.echo(f"or `ollama create student -f {made}`.")
