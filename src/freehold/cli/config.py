"""`freehold config`: is a configuration file right, and what would putting it in force change?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from freehold.cli.common import config_option, console, echo_json, json_option, table
from freehold.config import Settings, find_config, load_settings


@click.group("config")
def config_command() -> None:
    """Check a configuration file before it is put in force."""


@config_command.command("check")
@click.argument("file", required=False)
@click.option("--against", metavar="FILE", help="Say what would change for a gateway that runs with this file.")
@config_option
@json_option
def check_command(file: str | None, against: str | None, config: str | None, as_json: bool) -> None:
    """Check FILE (or the configuration in use) as a starting gateway would, keys in the environment included.

    A running gateway looks at its file by itself and takes up what changed; SIGHUP makes it look at once.
    """
    path = find_config(file or config)
    settings = _checked(path)
    document: dict[str, Any] = {"file": str(path.absolute()), "upstreams": list(settings.upstreams)}
    if against is not None:
        from freehold.config.reload import reload_of

        found = reload_of(load_settings(find_config(against)), settings)
        document |= {"live": found.live, "new_start": found.fixed}
    if as_json:
        echo_json(document)
        return
    click.echo(f"{path} can be used; upstreams: {', '.join(settings.upstreams)}.")
    if against is not None:
        made = table(f"What it changes against {against}", "setting", "in force")
        for name in document["live"]:
            made.add_row(name, "at once")
        for name in document["new_start"]:
            made.add_row(name, "after a new start")
        console().print(made)


def _checked(path: Path) -> Settings:
    """The settings of a file that a gateway would start with.

    Raises:
        ConfigError: the file, a key or an address cannot be used.
    """
    from freehold.gateway.runtime import Runtime

    settings = load_settings(path)
    Runtime(settings)  # opens and connects nothing
    return settings
