"""The `freehold` command and the one place where errors become exit codes."""

from __future__ import annotations

import json
import sys
from importlib import import_module

import click

from freehold import __version__
from freehold.domain.errors import FreeholdError

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("freehold.cli.init", "Write a commented freehold.toml."),
    "config": ("freehold.cli.config", "Check a configuration file before it is put in force."),
    "up": ("freehold.cli.serve", "Run everything: gateway, loop and dashboard."),
    "serve": ("freehold.cli.serve", "Run the gateway only."),
    "loop": ("freehold.cli.serve", "Run the loop only: find tasks, train, certify, promote, watch."),
    "keys": ("freehold.cli.keys", "Make, list, change and revoke virtual keys, and show what they used."),
    "teams": ("freehold.cli.keys", "Make, list and change teams: keys that share limits."),
    "tasks": ("freehold.cli.tasks", "List the tasks found in the traffic, or show one."),
    "plan": ("freehold.cli.plan", "Say what could move: by recorded outcomes in a file, or by the traffic so far."),
    "scorer": ("freehold.cli.scorers", "Say how good a task's answers are: guess, show, try, set."),
    "import": ("freehold.cli.import_", "Import what other programs recorded, as traces and feedback."),
    "curate": ("freehold.cli.moves", "Build a task's dataset."),
    "dataset": ("freehold.cli.dataset", "List, show, compare and export datasets."),
    "pii": ("freehold.cli.pii", "Say which personal data and secrets a file holds, without showing them."),
    "train": ("freehold.cli.moves", "Train a task's student."),
    "recipes": ("freehold.cli.students.recipes", "List, show and check recipes: how generative students are made."),
    "sweep": ("freehold.cli.students.sweep", "Train a task's student by variants of a recipe, and find the best."),
    "evaluate": ("freehold.cli.moves", "Predict what certifying a task's student would give."),
    "report": (
        "freehold.cli.students.report",
        "Show how a task's new student compares, slice by slice, and its safety.",
    ),
    "harness": ("freehold.cli.students.harness", "Measure a model with lm-evaluation-harness or Inspect."),
    "certify": ("freehold.cli.moves", "Test a task's student on the certify part and sign a certificate."),
    "promote": ("freehold.cli.moves", "Move a task to its certified student."),
    "models": ("freehold.cli.students.models", "List the base models that students may be made from, and check them."),
    "student": (
        "freehold.cli.students.student",
        "Serve students that write, or export them for other programs to serve.",
    ),
    "certificate": ("freehold.cli.certificates", "List, show and verify certificates."),
    "audits": ("freehold.cli.audits", "Show what audits measure for each certificate in force, and cost."),
    "ladder": ("freehold.cli.ladder", "Show or look for the models that answer a task before its incumbent."),
    "rollback": ("freehold.cli.moves", "Move a task back to the incumbent."),
    "drill": ("freehold.cli.drill", "Do without a provider for a while, to see what breaks, and keep the report."),
    "ledger": ("freehold.cli.data", "Show what ownership saves and costs."),
    "traces": ("freehold.cli.data", "Show recent traces, or one whole."),
    "episode": ("freehold.cli.episode", "List, show and export agents' runs."),
    "events": ("freehold.cli.data", "Show what happened, newest last."),
    "forget": ("freehold.cli.forget", "Remove what is kept of a person, key, run or trace, with a signed receipt."),
    "quarantine": ("freehold.cli.quarantine", "Put keys or traces aside: no new dataset takes them."),
    "journal": ("freehold.cli.journal", "Look into the journals, mend what was damaged, make a key."),
    "rights": ("freehold.cli.rights", "Say what licences and terms allow, and which clause says so."),
    "release": ("freehold.cli.release", "Write a student to a folder that others can check and rebuild."),
    "doctor": ("freehold.cli.doctor", "Check configuration, store, upstreams and students."),
    "demo": ("freehold.cli.demo", "Play a support desk's traffic through the real thing."),
}
"""Name → module with a click command of that name, and its help line. `up_command` is the attribute of `up`."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the loop."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(COMMANDS[cmd_name][0]), f"{cmd_name}_command")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands by their help lines, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="freehold")
def freehold() -> None:
    """Own your AI instead of renting it.

    Start with `freehold demo`, or `freehold init` and `freehold up`.
    """
    from freehold.config.logs import configure_logs

    configure_logs("warning")  # standard output belongs to results; long-running commands set a level of their own


def main(arguments: list[str] | None = None) -> None:
    """Run the command; a FreeholdError becomes a message, a hint and its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        freehold.main(args=given, prog_name="freehold", standalone_mode=False)
    except FreeholdError as error:
        if "--json" in given:
            click.echo(json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint}}))
        else:
            click.secho(f"Error: {error.message}", fg="red", err=True)
            if error.hint:
                click.echo(f"  {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        if "--json" in given:
            hint = "`freehold COMMAND --help` shows what it takes."
            click.echo(json.dumps({"error": {"code": "usage_error", "message": error.format_message(), "hint": hint}}))
        else:
            error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


if __name__ == "__main__":
    main()
