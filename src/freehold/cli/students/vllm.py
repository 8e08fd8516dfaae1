"""`freehold student vllm`: students on a vLLM server, which runs in an environment or on a machine of its own."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from freehold.cli.common import config_option, echo_json, json_option, settings_at
from freehold.cli.students.counsel import decided
from freehold.domain.errors import ConfigError, StudentError

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.serving.vllm import VllmServer

_MOST_SECONDS = 600.0


@click.group("vllm")
def vllm_command() -> None:
    """Print vLLM's command for a base model, and load students into one that runs: see docs/exports.md.

    Its address and key are those of [students.server].
    """


@vllm_command.command("command")
@click.argument("base")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that it shall listen on.")
@click.option("--port", default=8000, show_default=True, help="Port that it shall listen on.")
@click.option("--max-rank", default=16, show_default=True, help="Highest rank of the adapters to come.")
@click.option("--program", default="vllm", show_default=True, help="Where vLLM is.")
@config_option
@json_option
def command_command(
    base: str, host: str, port: int, max_rank: int, program: str, config: str | None, as_json: bool
) -> None:
    """Print the command that serves the base model BASE, ready for students to be loaded."""
    from freehold.serving.bases import find_base
    from freehold.serving.vllm import launch

    _, settings = settings_at(config)
    found = find_base(settings, base, decided(settings, base))
    key = _key(settings)
    how = launch(found.folder, base, host=host, port=port, max_rank=max_rank, api_key=key, program=program)
    shown = {name: value for name, value in how.environment.items() if value != key}
    if as_json:
        echo_json({"command": how.command, "environment": shown, "key_in": settings.students.server.api_key_env})
        return
    click.echo(" ".join([*(f"{name}={value}" for name, value in shown.items()), shlex.join(how.command)]))
    if key:
        click.echo(f"with VLLM_API_KEY set to what is in {settings.students.server.api_key_env}.")


@vllm_command.command("check")
@click.option("--wait", type=click.FloatRange(0, _MOST_SECONDS), default=0.0, help="Seconds to wait for it.")
@config_option
@json_option
def check_command(wait: float, config: str | None, as_json: bool) -> None:
    """Say whether the server of [students.server] is well, and which models it has."""
    server = _server(settings_at(config)[1])
    server.wait(wait)
    models = server.models()
    if as_json:
        echo_json({"url": server.url, "models": models})
    else:
        click.echo(f"{server.url} is well and serves {', '.join(models)}.")


@vllm_command.command("load")
@click.argument("student")
@config_option
@json_option
def load_command(student: str, config: str | None, as_json: bool) -> None:
    """Load STUDENT (its id, or its folder), an adapter, into the running server as `student/ID`.

    The adapter must be at the same path on the server's machine.
    """
    from freehold.cli.students.find import find_student
    from freehold.serving.folder import ADAPTER

    _, settings = settings_at(config)
    name, folder, found = find_student(settings, student)
    if found.manifest.weights != "adapter":
        raise StudentError(
            f"{name} has weights of its own, and is no adapter.", "Start a vLLM for its folder `model`, or export it."
        )
    server = _server(settings)
    server.load(f"student/{name}", (folder / ADAPTER).absolute())
    _say(server, f"student/{name}", as_json)


@vllm_command.command("unload")
@click.argument("student")
@config_option
@json_option
def unload_command(student: str, config: str | None, as_json: bool) -> None:
    """Take STUDENT (its id) off the running server."""
    server = _server(settings_at(config)[1])
    server.unload(f"student/{student}")
    _say(server, f"student/{student}", as_json)


def _say(server: VllmServer, name: str, as_json: bool) -> None:
    models = server.models()
    if as_json:
        echo_json({"url": server.url, "student": name, "served": name in models, "models": models})
    else:
        click.echo(f"{server.url} now {'serves' if name in models else 'does without'} {name}.")


def _server(settings: Settings) -> VllmServer:
    from freehold.serving.vllm import VllmServer

    url = settings.students.server.url
    if not url:
        raise ConfigError("No server is configured.", '[students.server] url = "http://HOST:8000/v1" names one.')
    return VllmServer(url, _key(settings))


def _key(settings: Settings) -> str:
    name = settings.students.server.api_key_env
    key = os.environ.get(name, "") if name else ""
    if name and not key:
        raise ConfigError(f"{name} is not set, which [students.server] names.", f"export {name}=…")
    return key
