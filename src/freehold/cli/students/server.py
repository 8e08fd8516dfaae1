"""`freehold student serve`: the process that students answer in."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from freehold.cli.common import config_option, echo_json, end_with_parent, json_option, settings_at
from freehold.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from freehold.config import Settings
    from freehold.serving.server import ModelSource, Worker


@click.command("serve")
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option("--name", default="", help="What callers name MODEL by [default: its folder's name].")
@click.option("--adapter", "adapters", multiple=True, metavar="NAME=FOLDER", help="A LoRA adapter for MODEL.")
@click.option("--adapter-root", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Let callers load adapters from below this folder (POST /v1/load_lora_adapter).")  # fmt: skip
@click.option("--host", help="Address to listen at [default: of the configuration, else 127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="0: any free one [default: of the configuration].")
@click.option("--slots", type=click.IntRange(1), help="Requests answered side by side [default: 32].")
@click.option("--threads", type=click.IntRange(1), help="Of arithmetic [default: 1].")
@click.option("--context", type=click.IntRange(16), help="Tokens of prompt and answer together, for MODEL.")
@click.option("--api-key-env", metavar="VARIABLE", help="Environment variable with the key that callers must send.")
@click.option("--most-students", type=click.IntRange(1), default=8, show_default=True,
              help="Students kept loaded beside those in force.")  # fmt: skip
@click.option("--with-parent", is_flag=True, hidden=True, help="End when standard input closes.")
@config_option
@json_option
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def serve_command(
    model: Path | None, name: str, adapters: tuple[str, ...], adapter_root: Path | None, host: str | None,
    port: int | None, slots: int | None, threads: int | None, context: int | None, api_key_env: str | None,
    most_students: int, with_parent: bool, config: str | None, as_json: bool, log_level: str,
) -> None:  # fmt: skip
    """Answer as OpenAI's API does, with models of your own, on this machine.

    MODEL is a model's folder, or a student's (`freehold student train`): an adapter is served on its base, which the
    configuration says where to find. Without it the students of the data folder are served, as `student/ID`: those in
    force are ready before they are asked, and a promotion or a rollback is followed within a second.
    """
    from freehold.config import configure_logs
    from freehold.config.student_settings import ServerSettings

    configure_logs(log_level)
    if with_parent:
        end_with_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))
    settings: Settings | None = None
    given = ServerSettings()
    if model is None or config is not None:
        settings = settings_at(config)[1]
        given = settings.students.server
    key = _key(given.api_key_env if api_key_env is None else api_key_env)
    slots, threads = slots or given.slots, threads or given.threads
    serve, worker = _engine(threads)
    source: ModelSource
    if model is not None:
        from freehold.serving.server import FolderModels

        placed = _placed(model, name, dict(_named(adapter) for adapter in adapters), config)
        source = FolderModels(worker, placed.folder, name=placed.name, adapters=placed.adapters,
                              adapter_root=adapter_root, slots=slots, context=context, threads=threads)  # fmt: skip
    else:
        if adapters or adapter_root or name or context:
            raise click.UsageError("--name, --adapter, --adapter-root and --context go with MODEL.")
        assert settings is not None
        source = _students(settings, worker, slots, threads, most_students)

    def say(url: str) -> None:
        if as_json:
            echo_json({"url": url, "base_url": f"{url}/v1"})
        else:
            click.echo(f"Students answer at {url}/v1")

    port = given.port if port is None else port
    serve(source, worker, host=host or given.host, port=port, api_key=key, on_listening=say, log_level="warning")


def _engine(threads: int) -> tuple[Callable[..., None], Worker]:
    try:
        from freehold.serving.server import Worker, serve
    except ImportError as error:
        raise ConfigError(
            f"Serving students needs what is not installed: {error}.", "`pip install freehold[serve]`."
        ) from error
    return serve, Worker(threads)


def _students(settings: Settings, worker: Worker, slots: int, threads: int, most: int) -> ModelSource:
    from functools import partial

    from freehold.serving.bases.places import base_folder
    from freehold.serving.server import StudentModels
    from freehold.store.control.control import ControlStore

    control = ControlStore.open(settings.control_url)
    where = partial(base_folder, settings.data)
    return StudentModels(worker, settings.data, control, where, slots=slots, threads=threads, most=most)


class _Placed(NamedTuple):
    """A model to serve, and adapters on it."""

    folder: Path
    name: str
    adapters: dict[str, Path]


def _placed(model: Path, name: str, adapters: dict[str, Path], config: str | None) -> _Placed:
    """A model's folder as it is; of a student's folder its weights, or its adapter on its base."""
    from freehold.serving.folder import ADAPTER, MODEL

    model = model.absolute()
    called = name or model.name
    if (model / MODEL).is_dir():
        return _Placed(model / MODEL, called, adapters)
    if not (model / ADAPTER).is_dir():
        return _Placed(model, name, adapters)
    from freehold.cli.students.find import find_student

    base = find_student(settings_at(config)[1], str(model)).found.source.folder
    return _Placed(base, base.name if base.name != called else f"{base.name}-base", {called: model, **adapters})


def _key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise ConfigError(f"The environment variable {variable} is empty.", "Set it to the key that callers must send.")
    return key


def _named(adapter: str) -> tuple[str, Path]:
    name, equals, folder = adapter.partition("=")
    if not name or not equals or not folder:
        raise click.UsageError(f"--adapter {adapter} is not NAME=FOLDER.")
    return name, Path(folder)
