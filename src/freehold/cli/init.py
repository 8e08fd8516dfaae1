"""`freehold init`: write a commented configuration, by asking or from flags."""

from __future__ import annotations

import os
import re
import sys
from importlib.resources import files
from pathlib import Path

import click

from freehold.cli.common import echo_json, json_option
from freehold.config import load_settings
from freehold.domain.errors import ConfigError
from freehold.rights import OWN, licences, terms_of_url

OPENAI = "https://api.openai.com/v1"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")


@click.command("init")
@click.option("--base-url", help=f"The provider's or server's OpenAI-compatible address [default: {OPENAI}].")
@click.option("--openai-key-env", "key_env", metavar="VARIABLE", help="Environment variable with the provider's key.")
@click.option("--name", help="What to call the upstream [default: from the address].")
@click.option("--terms", help="Whose terms its answers come under, where the address does not tell; `own`: yours.")
@click.option("--port", type=click.IntRange(1, 65535), default=8484, show_default=True, help="Where to listen.")
@click.option(
    "--file",
    "target",
    type=click.Path(path_type=Path),
    default=Path("freehold.toml"),
    show_default=True,
    help="Where to write it.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--print", "to_screen", is_flag=True, help="Print it instead of writing a file.")
@json_option
def init_command(
    base_url: str | None,
    key_env: str | None,
    name: str | None,
    terms: str | None,
    port: int,
    target: Path,
    force: bool,
    to_screen: bool,
    as_json: bool,
) -> None:
    """Write a commented freehold.toml. Asks for what no flag says, if it is run on a terminal."""
    asking = sys.stdin.isatty() and not to_screen and not as_json and base_url is None and key_env is None
    if asking:
        base_url = click.prompt("Address of the API you use now", default=OPENAI)
        key_env = click.prompt("Environment variable with its key (empty: callers send their own)", default="")
    base_url = base_url or OPENAI
    name = name or _name_of(base_url)
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name an upstream.", "Use lower-case letters, digits, - and _.")
    for value in (base_url, key_env or ""):
        if '"' in value or "\\" in value or not value.isprintable():
            raise ConfigError(f"{value!r} cannot be written to the file.", "Leave out quotes and control characters.")
    if terms is not None and terms != OWN and terms not in licences():
        raise ConfigError(f"Nothing is known of terms {terms!r}.", f"Known: {', '.join(sorted((OWN, *licences())))}.")
    text = render(base_url, key_env or "", name, terms, port)
    if to_screen:
        if as_json:
            echo_json({"text": text})
        else:
            click.echo(text, nl=False)
        return
    _write(target, text, force)
    open_points = _open_points(base_url, key_env, terms)
    if as_json:
        echo_json({"file": str(target.absolute()), "upstream": name, "open_points": open_points})
    else:
        click.echo("\n".join((f"Wrote {target}. Next: `freehold doctor`, then `freehold up`.", *open_points)))


def _open_points(base_url: str, key_env: str | None, terms: str | None) -> list[str]:
    """What is still to be done by hand, in sentences."""
    found: list[str] = []
    if key_env and not os.environ.get(key_env):
        found.append(f"The environment variable {key_env} is not set yet: `export {key_env}=…`.")
    if terms is None and terms_of_url(base_url) == "unknown":
        found.append(f"Whose terms {base_url} is under is not known: set `terms` before anything can be trained on it.")
    return found


def render(base_url: str, key_env: str, name: str, terms: str | None, port: int) -> str:
    """The file's text."""
    template = (files("freehold.cli") / "template.toml").read_text(encoding="utf-8")
    key = (
        f'api_key_env = "{key_env}"'
        if key_env
        else '# api_key_env = ""                      # empty: callers send their own key'
    )
    known = (
        f'terms = "{terms}"'
        if terms
        else '# terms = ""                            # whose terms its answers come under; known for many addresses'
    )
    return template.format(port=port, name=name, base_url=base_url, key_line=key, terms_line=known)


def _name_of(base_url: str) -> str:
    host = re.sub(r"^https?://", "", base_url).split("/")[0].split(":")[0]
    parts = [part for part in host.split(".") if part not in ("api", "www", "com", "ai", "org", "net")]
    name = re.sub(r"[^a-z0-9_-]", "-", (parts or ["upstream"])[0].lower())
    return name if _NAME.fullmatch(name) and not name.isdigit() else "upstream"


def _write(target: Path, text: str, force: bool) -> None:
    if target.exists() and not force:
        raise ConfigError(f"{target} exists.", "Give --force to replace it, or --file for another.")
    draft = target.with_name(f".{target.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        load_settings(draft)  # what does not load never takes the file's place
        draft.replace(target)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}.", "Choose another --file.") from error
    except ConfigError as error:
        message = error.message.replace(str(draft), str(target))
        raise ConfigError(f"Nothing was written: {message}", error.hint) from error
    finally:
        draft.unlink(missing_ok=True)
