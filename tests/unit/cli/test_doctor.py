"""`freehold doctor` finds what is wrong before traffic does, and says what to do."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_fixtures import Run
from loop_fixtures import Desk

from freehold.store.locks import exclusive


@pytest.fixture
def listener() -> Iterator[str]:
    """A base URL somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"


@pytest.fixture
def shop(owned_desk: Desk, tmp_path: Path, listener: str) -> Path:
    """A healthy installation with one owned task."""
    shutil.copytree(owned_desk.settings.data, tmp_path / "freehold-data")
    return configured(tmp_path, f'base_url = "{listener}"\nterms = "own"')


def configured(folder: Path, upstream: str, more: str = "") -> Path:
    path = folder / "freehold.toml"
    path.write_text(f"{more}\n[upstreams.inc]\n{upstream}\n")
    return path


def checks(run: Run, config: Path) -> tuple[int, dict[str, Any]]:
    """Exit code, and level and words of each check by name."""
    code, out, err = run("doctor", "--json", "--config", str(config))
    assert not err
    found = {check["what"]: (check["level"], check["says"]) for check in json.loads(out)}
    assert code == (1 if any(level == "error" for level, _ in found.values()) else 0)
    return code, found


def test_all_is_well(shop: Path, run: Run) -> None:
    with exclusive(shop.parent / "freehold-data" / "loop.lock"):
        code, found = checks(run, shop)
    assert code == 0
    assert {level for level, _ in found.values()} == {"ok"}, found
    assert any(what.startswith("student st_") for what in found)
    code, found = checks(run, shop)
    assert code == 0 and found["loop"][0] == "warning" and "freehold loop" in found["loop"][1]


def test_no_configuration_and_bad_toml(tmp_path: Path, run: Run) -> None:
    code, found = checks(run, tmp_path / "none.toml")
    assert code == 1 and "freehold init" in found["configuration"][1]
    bad = tmp_path / "bad.toml"
    bad.write_text("[gateway\n")
    code, found = checks(run, bad)
    assert code == 1 and "not valid TOML" in found["configuration"][1] and "line 1" in found["configuration"][1]
    bad.write_text("[gateway]\nports = 1\n")
    code, found = checks(run, bad)
    assert code == 1 and "ports" in found["configuration"][1]
    bad.write_text("")
    code, found = checks(run, bad)
    assert code == 1 and "upstreams.NAME" in found["upstreams"][1]


def test_a_key_that_is_not_set_and_an_upstream_that_is_not_there(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # free again, so nobody is there
    monkeypatch.delenv("SHOP_KEY", raising=False)
    upstream = f'base_url = "http://127.0.0.1:{port}/v1"\napi_key_env = "SHOP_KEY"'
    code, found = checks(run, configured(tmp_path, upstream))
    assert code == 1
    assert found["upstreams.inc.api_key_env"] == ("error", "$SHOP_KEY is not set: `export SHOP_KEY=…`")
    level, says = found["upstream inc"]
    assert level == "error" and f"127.0.0.1:{port} cannot be reached" in says
    monkeypatch.setenv("SHOP_KEY", "sk-very-secret")
    code, found = checks(run, configured(tmp_path, upstream))
    assert found["upstreams.inc.api_key_env"][0] == "ok"
    assert "sk-very-secret" not in json.dumps(found)


def test_unknown_terms_are_a_warning_that_nothing_will_be_trained(tmp_path: Path, listener: str, run: Run) -> None:
    code, found = checks(run, configured(tmp_path, f'base_url = "{listener}"'))
    level, says = found["terms of inc"]
    assert (code, level) == (0, "warning") and "nothing may be trained" in says


def test_candidates_that_can_be_asked_and_those_that_cannot(tmp_path: Path, listener: str, run: Run) -> None:
    more = """[candidates]
models = ["mine", "shared", "unpriced", "nowhere"]
[upstreams.own]
base_url = "URL"
models = ["mine", "unpriced"]
keyless = true
terms = "own"
prices = { mine = { input = 0.1, output = 0.2 } }
""".replace("URL", listener)
    upstream = f'base_url = "{listener}"\nmodels = ["big", "shared"]\nterms = "own"\n'
    code, found = checks(run, configured(tmp_path, upstream + "prices = { shared = { input = 1, output = 1 } }", more))
    assert code == 1
    assert found["candidate mine"][0] == "ok" and "5 dollars a day" in found["candidate mine"][1]
    level, says = found["candidate shared"]
    assert level == "warning" and "upstreams.inc.api_key_env" in says and "keyless" in says
    assert found["candidate unpriced"][0] == "warning" and "[upstreams.own.prices]" in found["candidate unpriced"][1]
    assert found["candidate nowhere"][0] == "error" and "No upstream serves" in found["candidate nowhere"][1]


def test_damage_below_the_data_folder(shop: Path, owned_desk: Desk, run: Run) -> None:
    assert owned_desk.rung is not None
    data = shop.parent / "freehold-data"
    weights = next((data / owned_desk.rung.path).glob("*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    code, found = checks(run, shop)
    level, says = found[f"student {owned_desk.rung.student}"]
    assert (code, level) == (1, "error") and str(weights) in says and "train the task again" in says
    for path in data.glob("control.sqlite*"):
        path.unlink()
    (data / "control.sqlite").write_bytes(b"no database" * 1000)
    code, found = checks(run, shop)
    assert code == 1 and found["store"][0] == "error" and "back" in found["store"][1]


def test_a_stand_in_that_would_fail_in_a_drill(listener: str, tmp_path: Path, run: Run) -> None:
    def found(upstream: str, name: str = "llama") -> tuple[str, str]:
        path = configured(tmp_path, f'base_url = "{listener}"\n{upstream}', f'[drill]\nstand_in = "{name}"')
        return checks(run, path)[1]["stand-in"]

    assert found("owned = true\nkeyless = true")[0] == "ok"
    for upstream, said in (("keyless = true", "owned = true"), ("owned = true", "keyless = true")):
        level, words = found(upstream)
        assert level == "error" and said in words and "would fail" in words


def test_a_running_gateway_is_heard(tmp_path: Path, run: Run, listener: str) -> None:
    said = json.dumps({"ready": True, "degraded": ["The file cannot be used."]}).encode()

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        path = configured(tmp_path, f'base_url = "{listener}"', f"[gateway]\nport = {server.server_port}")
        assert checks(run, path)[1]["gateway"] == ("warning", "The file cannot be used.")
    assert checks(run, path)[1]["gateway"][0] == "ok"
