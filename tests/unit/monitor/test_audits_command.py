"""`freehold audits`: what it shows, and what it gives to scripts."""

from __future__ import annotations

import json
import random
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from monitor_fixtures import SECOND, Watched, certificate

from freehold.cli.main import freehold
from freehold.monitor import watch

CONFIG = """
[upstreams.inc]
base_url = "http://127.0.0.1:1/v1"
[loop]
audit_dollars_per_day = 2.0
"""


def test_the_table_and_the_json_say_what_audits_measure_and_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "freehold.toml"
    config.write_text(f'data_dir = "{tmp_path / "data"}"\n{CONFIG}')
    now, rng = time.time_ns(), random.Random(3)
    with closing(
        Watched(tmp_path / "data", certificate("triage", issued_ns=1), certificate("quiet", issued_ns=1))
    ) as desk:
        for number in range(400):
            answer = "yes" if rng.random() < 0.4 else "no"
            desk.serve("triage", now - (402 - number) * SECOND // 4, answer, "yes", 0.5)
        desk.seal()
        drawn = watch(desk.store, desk.certificates["triage"], now)
        desk.store.control.change_task_policy("quiet", "for the test", audit_rate=0.0)
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(freehold, ["audits", "--config", str(config)])
    assert shown.exit_code == 0, shown.output
    assert "triage" in shown.output and f"{drawn.audits:,}" in shown.output and "of $2.00 a day" in shown.output
    assert f"{drawn.lower:.2%} – {drawn.upper:.2%}" in shown.output and "the certificate ages" in shown.output
    told = json.loads(CliRunner().invoke(freehold, ["audits", "--config", str(config), "--json"]).output)
    rows = {row["name"]: row for row in told["tasks"]}
    assert rows["triage"]["audits"] == drawn.audits and "is above" in rows["triage"]["alarm"]
    assert rows["quiet"]["lower"] is None and rows["quiet"]["rate"] == 0.0
    # Midnight may have fallen between; what is of today costs 0.0004 dollars each.
    assert told["dollars_today"] == pytest.approx(rows["triage"]["audits_today"] * 0.0004)
    assert told["dollars_per_day"] == 2.0
