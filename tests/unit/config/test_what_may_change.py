"""A changed file is in force as a whole or not at all; what cannot change live is said by name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from freehold.config import Settings, load_settings
from freehold.config.reload import FIXED, is_fixed, reload_of
from freehold.config.watch import ConfigWatch
from freehold.domain.errors import ConfigError

FILE = """
data_dir = "{data}"
[gateway]
port = {port}
max_body_bytes = {size}
[upstreams.a]
base_url = "http://127.0.0.1:1/v1"
models = [{models}]
[upstreams.a.prices]
"m" = {{ input = {price}, output = 1.0 }}
[tasks.triage.scorer]
kind = "exact"
"""


def write(path: Path, **changes: object) -> Path:
    fields = {"data": "d", "port": 1, "size": 1000, "models": '"m"', "price": 1.0, **changes}
    path.write_text(FILE.format(**fields))
    return path


def read(path: Path, **changes: object) -> Settings:
    return load_settings(write(path, **changes))


def test_what_changes_is_named_and_what_is_fixed_stays(tmp_path: Path) -> None:
    path = tmp_path / "freehold.toml"
    old = read(path)
    assert reload_of(old, read(path)) == (old, (), ())
    new = read(path, data="e", port=2, size=2000, models='"m", "n"', price=2.0)
    found = reload_of(old, new)
    assert set(found.live) == {"gateway.max_body_bytes", "upstreams.a.models", "upstreams.a.prices.m.input"}
    assert set(found.fixed) == {"data_dir", "gateway.port"}
    assert (found.settings.data_dir, found.settings.gateway.port) == (old.data_dir, 1)
    assert found.settings.gateway.max_body_bytes == 2000 and found.settings.upstreams == new.upstreams
    assert found.settings.tasks == new.tasks, "scorers come through whole"
    without = msgspec.structs.replace(new, upstreams={"b": new.upstreams["a"]}, tasks={})
    assert {"upstreams.a", "upstreams.b", "tasks.triage"} <= set(reload_of(old, without).live)


def test_every_fixed_name_is_a_setting() -> None:
    for name in FIXED:
        value: object = msgspec.to_builtins(Settings())
        for part in name.split("."):
            assert isinstance(value, dict) and part in value
            value = value[part]
        assert is_fixed(name) and is_fixed(f"{name}.x") and not is_fixed(f"{name}x")


class Watched:
    """A file being watched by hand, and what was adopted."""

    def __init__(self, path: Path, check: Callable[[Settings], object] = lambda settings: None) -> None:
        self.adopted: list[Settings] = []
        self.path = path
        self.watch = ConfigWatch(path, read(path), self.adopted.append, check=check)


def test_a_changed_file_is_taken_up_once_it_has_settled(tmp_path: Path) -> None:
    run = Watched(tmp_path / "freehold.toml")
    run.watch.look()
    assert not run.adopted
    write(run.path, size=2000)
    run.watch.look()
    assert not run.adopted, "it may be half written"
    run.watch.look()
    run.watch.look()
    assert [settings.gateway.max_body_bytes for settings in run.adopted] == [2000]
    write(run.path, size=3000)
    run.watch.look(at_once=True)
    assert run.adopted[-1].gateway.max_body_bytes == 3000


def test_a_file_that_cannot_be_used_changes_nothing_and_says_why_until_it_is_mended(tmp_path: Path) -> None:
    def check(settings: Settings) -> None:
        if settings.gateway.max_body_bytes == 666:
            raise ConfigError("The environment variable KEY holds no key.", "Run `export KEY=…` first.")

    run = Watched(tmp_path / "freehold.toml", check)
    breakers: list[tuple[Callable[[], object], str]] = [
        (lambda: run.path.write_text("[gateway"), "not valid TOML"),
        (lambda: write(run.path, size=-1), "max_body_bytes"),
        (lambda: write(run.path, size=666), "holds no key"),
        (lambda: run.path.write_bytes(b"\xff"), "not valid TOML"),
        (run.path.unlink, "cannot be read"),
    ]
    for break_it, said in breakers:
        break_it()
        run.watch.look()
        run.watch.look()
        assert not run.adopted and run.watch.error is not None and said in run.watch.error
    write(run.path, port=9, size=2000)
    run.watch.look()
    run.watch.look()
    assert run.watch.error is None and run.watch.waiting == ("gateway.port",)
    assert [settings.gateway for settings in run.adopted] == [run.watch.settings.gateway]
    assert (run.adopted[0].gateway.port, run.adopted[0].gateway.max_body_bytes) == (1, 2000)


def test_what_adopting_refuses_is_not_in_force(tmp_path: Path) -> None:
    path = tmp_path / "freehold.toml"

    def refuse(settings: Settings) -> None:
        raise ConfigError("It cannot be.", "Try another.")

    watch = ConfigWatch(path, read(path), refuse)
    write(path, size=2000)
    watch.look(at_once=True)
    assert watch.error == "It cannot be. Try another." and watch.settings.gateway.max_body_bytes == 1000


def test_the_thread_looks_by_itself_and_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "freehold.toml"
    adopted: list[Settings] = []
    came = threading.Event()

    def adopt(settings: Settings) -> None:
        adopted.append(settings)
        came.set()

    watch = ConfigWatch(path, read(path), adopt, poll_seconds=0.02)
    watch.start()
    write(path, size=2000)
    assert came.wait(5)
    came.clear()
    watch.look_now()
    assert came.wait(5)
    began = time.monotonic()
    watch.stop()
    assert time.monotonic() - began < 5 and {settings.gateway.max_body_bytes for settings in adopted} == {2000}


def test_a_new_table_of_settings_is_decided_about() -> None:
    """Whoever adds a table says whether it may change live."""
    live = {"gateway", "upstreams", "loop", "candidates", "tasks", "drill", "cache", "telemetry"}
    live |= {"retention", "curate", "runner", "organisation", "students", "models"}
    tables = set(Settings.__struct_fields__)
    assert tables == live | {name for name in FIXED if "." not in name}, "put it in FIXED, or adopt it and name it here"


@pytest.mark.parametrize("name", ["gateway.host", "access.required", "upstreams.a.base_url", "drill.stand_in"])
def test_names_are_fixed_or_live(name: str) -> None:
    assert is_fixed(name) == name.startswith(("gateway.host", "access"))
