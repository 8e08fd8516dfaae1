"""`freehold student`: what is done with generative students. Each command lives in a module of its own."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS: dict[str, str] = {
    "train": "freehold.cli.students.train",
    "serve": "freehold.cli.students.server",
    "export": "freehold.cli.students.export",
    "vllm": "freehold.cli.students.vllm",
}
"""Name → module with a click command `NAME_command`, imported when it is called."""


class _StudentGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it; None if there is no such command."""
        return getattr(import_module(COMMANDS[cmd_name]), f"{cmd_name}_command") if cmd_name in COMMANDS else None


@click.group("student", cls=_StudentGroup)
def student_command() -> None:
    """Train students that write on agents' runs, serve and export them: see docs/students.md and docs/exports.md."""
