"""Forgetting while a gateway serves: its journal gives the segment up, its cache the answer, and traffic flows on."""

from __future__ import annotations

from pathlib import Path

from chaos import Chaos, well_behaved
from cli_fixtures import Run
from forget_fixtures import places_with
from gateway_process import GatewayProcess, configure
from wire import ask, body_for, new_nonce, post

from freehold.config.load import load_settings
from freehold.record.opening import open_store

NAME = "customer-0815"


def test_a_running_gateway_lets_go_of_a_subject(tmp_path: Path, run: Run) -> None:
    with Chaos({"good": well_behaved}) as chaos:
        configure(tmp_path, {"good": chaos.base_url("good")})
        with (tmp_path / "freehold.toml").open("a") as file:
            file.write("\n[cache]\nenabled = true\n")
        with GatewayProcess(tmp_path, workers=2) as gateway:
            told = {who: [new_nonce() for _ in range(6)] for who in (NAME, "somebody")}
            for who, nonces in told.items():
                for nonce in nonces:
                    answer = ask(gateway.url, post(body_for("good", nonce), x_freehold_subject=who))
                    assert answer.status == 200 and nonce.encode() in answer.body
            assert len(set(places_with(gateway.data, NAME, *told[NAME]))) >= 2, "in journals and the cache"
            config = ("--config", str(tmp_path / "freehold.toml"))
            code, _, err = run("forget", "--subject", NAME, "--yes", "--json", *config)
            assert code == 0, err
            assert places_with(gateway.data, NAME, *told[NAME]) == []
            again = new_nonce()
            assert ask(gateway.url, post(body_for("good", again), x_freehold_subject=NAME)).status == 200
            assert gateway.stop() == 0
    assert places_with(tmp_path / "data", again), "who comes back afterwards is recorded again"
    store = open_store(load_settings(tmp_path / "freehold.toml"))
    subjects = store.traces.scan().select("subject").collect().get_column("subject").to_list()
    assert subjects == ["somebody"] * 6
    store.close()
