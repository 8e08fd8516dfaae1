"""What the page about agents shows is run: agents against a real gateway, then every command over what they left."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import msgspec
import pytest

from freehold.config import GatewaySettings, load_settings
from freehold.gateway import serve_in_thread
from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers
from freehold.upstreams.recorded import serve_in_thread as serve_recorded

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")
SAID = {
    "Split the report into two parts.": "One on costs, one on time.",
    "Write part 1.": "Costs fell.",
    "Write part 2.": "Time is short.",
    "Join them: Costs fell. Time is short.": "Costs fell, and time is short.",
}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def test_the_pages_run_gets_in_and_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (settings_shown,) = _blocks("toml")
    answers = RecordedAnswers(
        [RecordedAnswer(prompt=asked, response=said, model="qwen") for asked, said in SAID.items()]
    )
    with serve_recorded(answers) as server:
        shown = settings_shown.replace("http://127.0.0.1:8000/v1", server.base_url)
        (tmp_path / "freehold.toml").write_text(shown)
        monkeypatch.chdir(tmp_path)
        settings = load_settings(tmp_path / "freehold.toml")
        with serve_in_thread(msgspec.structs.replace(settings, gateway=GatewaySettings(port=0))) as gateway:
            outputs: list[str] = []
            for example in _blocks("python"):
                said = io.StringIO()
                with redirect_stdout(said):
                    exec(example.replace("http://127.0.0.1:8484", gateway.url), {})
                outputs.append(said.getvalue())
    assert outputs == ["Costs fell, and time is short.\n", "200\n"]
    commands = [line[2:] for block in _blocks("console") for line in block.splitlines()]
    assert len(commands) >= 7
    for command in commands:
        ran = subprocess.run(
            [sys.executable, "-m", "freehold.cli.main", *shlex.split(command)[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["freehold"]["agent"] for row in rows] == ["planner", "writer-1", "writer-2"]
    assert [row["loss_mask"] for row in rows] == [[0, 1, 0, 1], [0, 1], [0, 1]]
    assert {row["freehold"]["score"] for row in rows} == {0.9}
    assert (tmp_path / "good.jsonl").read_bytes() == (tmp_path / "rows.jsonl").read_bytes()
