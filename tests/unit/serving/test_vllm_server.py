"""vLLM by its command and its HTTP interface, spoken to over real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import vllm_fake

from freehold.domain.errors import (
    AuthError,
    ConfigError,
    StudentError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from freehold.serving.vllm import VllmServer, launch


def adapter(folder: Path, rank: int = 8) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(f'{{"r": {rank}}}')
    return folder


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_adapters_are_loaded_swapped_and_unloaded(tmp_path: Path) -> None:
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    with vllm_fake.serving(key="secret") as fake:
        server = VllmServer(f"{fake.url}/v1", "secret")
        server.wait(5)
        server.load("student/1", one)
        server.load("student/1", one)
        assert server.models() == ("tiny", "student/1")
        server.swap("student/2", two, old="student/1")
        assert server.models() == ("tiny", "student/2")
        server.unload("student/1")
        posted = [(path, body) for path, _, body in fake.asked]
        assert posted[0] == ("/v1/load_lora_adapter", {"lora_name": "student/1", "lora_path": str(one)})
        assert posted[-1] == ("/v1/unload_lora_adapter", {"lora_name": "student/1"})
        assert {key for _, key, _ in fake.asked} == {"Bearer secret"}


def test_a_swap_that_fails_leaves_the_old_adapter(tmp_path: Path) -> None:
    with vllm_fake.serving(rank=8) as fake:
        server = VllmServer(fake.url)
        server.load("student/1", adapter(tmp_path / "one"))
        with pytest.raises(StudentError, match="rank 64 is greater"):
            server.swap("student/2", adapter(tmp_path / "two", rank=64), old="student/1")
        with pytest.raises(StudentError, match="No adapter found") as caught:
            server.swap("student/2", tmp_path / "nowhere", old="student/1")
        assert "same path on its machine" in caught.value.hint
        fake.lists = False
        with pytest.raises(UpstreamError, match="does not list it"):
            server.swap("student/3", adapter(tmp_path / "three"), old="student/1")
        assert "student/1" in fake.models


def test_failures_say_what_to_do(tmp_path: Path) -> None:
    with vllm_fake.serving(loading=False) as fake:
        with pytest.raises(ConfigError, match="no way to load") as caught:
            VllmServer(fake.url).load("student/1", adapter(tmp_path / "one"))
        assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in caught.value.hint
        with pytest.raises(ConfigError, match="no way to unload"):
            VllmServer(fake.url).unload("student/1")
    with vllm_fake.serving(key="secret") as fake, pytest.raises(AuthError):
        VllmServer(fake.url, "other").models()
    nobody = VllmServer(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UpstreamUnreachable):
        nobody.models()
    with pytest.raises(UpstreamTimeout, match=r"within 0\.3 seconds"):
        nobody.wait(0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UpstreamTimeout, match="did not answer"):
            VllmServer(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2).models()
    with pytest.raises(ConfigError, match="no URL"):
        VllmServer("localhost:8000")


def test_it_is_started_watched_and_ended(tmp_path: Path) -> None:
    program, base = vllm_fake.program(tmp_path), tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    port = free_port()
    how = launch(
        base,
        "tiny",
        {"student/1": adapter(tmp_path / "one")},
        port=port,
        max_rank=12,
        context=256,
        api_key="secret",
        program=str(program),
    )
    assert how.command[how.command.index("--max-lora-rank") + 1] == "16" and "secret" not in " ".join(how.command)
    server = VllmServer.start(how, f"http://127.0.0.1:{port}", tmp_path / "vllm.log")
    try:
        assert not server.healthy()
        server.wait(20)
        server.swap("student/2", adapter(tmp_path / "two"), old="student/1")
        assert server.models() == ("tiny", "student/2")
    finally:
        server.stop()
    assert not server.healthy()


def test_one_that_ends_says_why(tmp_path: Path) -> None:
    how = launch(tmp_path, "tiny", port=free_port(), program=str(vllm_fake.program(tmp_path)))
    server = VllmServer.start(how, "http://127.0.0.1:1", tmp_path / "vllm.log")
    with pytest.raises(UpstreamUnreachable, match=r"ended with code 1 .*config\.json"):
        server.wait(20)
    server.stop()


def test_what_cannot_be_started_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no program"):
        launch(tmp_path, "tiny", program=str(tmp_path / "vllm"))
    with pytest.raises(ConfigError, match="rank 1000"):
        launch(tmp_path, "tiny", max_rank=1000)
    with pytest.raises(ConfigError, match="ask nobody for a key"):
        launch(tmp_path, "tiny", host="0.0.0.0")
