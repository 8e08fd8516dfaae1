"""What a worker has counted outlives its `kill -9`; a folder that others fold meanwhile never shows a wrong sum."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from freehold.gateway.telemetry.metrics import Metrics

COUNTING = """
import sys
from pathlib import Path
from freehold.gateway.telemetry.metrics import Metrics
metrics = Metrics(sys.argv[2], models=["m"])
metrics.open(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    metrics.request(("chat", "m", f"up-{number % 700}/m", 200, "no-rung", False), None, 0.01)
    if number % 1000 == 0:
        print(number, flush=True)
"""


def requests_of(text: str) -> float:
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return sum(sample.value for sample in families["freehold_requests"].samples)


def test_nothing_that_killed_workers_counted_is_lost(tmp_path: Path) -> None:
    reader = Metrics("wk_reader")
    reader.open(tmp_path)
    before = 0.0
    for round_ in range(2):
        children = [
            subprocess.Popen(
                [sys.executable, "-c", COUNTING, str(tmp_path), f"wk_{round_}_{number}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(2)
        ]
        said = [0, 0]
        for number, child in enumerate(children):
            assert child.stdout is not None
            for _ in range(3 + number):
                said[number] = int(child.stdout.readline())
        for child in children:
            child.send_signal(signal.SIGKILL)
        for number, child in enumerate(children):
            assert child.stdout is not None
            rest = child.stdout.read().split()
            child.wait(30)
            said[number] = max([said[number], *map(int, rest)])
        now = requests_of(reader.text())
        assert sum(said) <= now - before < sum(said) + 2 * 1000  # it says every thousandth
        before = now
    reader.close()


def test_a_sum_never_shrinks_or_jumps_while_workers_come_die_and_are_folded(tmp_path: Path) -> None:
    reader = Metrics("wk_reader")
    reader.open(tmp_path)
    counted, stop = [0], threading.Event()

    def come_and_go() -> None:
        for number in range(60):
            worker = Metrics(f"wk_{number}", models=["m"])
            worker.open(tmp_path)  # folds those that died before
            for _ in range(10):
                worker.request(("chat", "m", "main/m", 200, "no-rung", False), None, 0.01)
            counted[0] += 10
            worker.close()
        stop.set()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    last = 0.0
    while not stop.is_set():
        low = counted[0]
        text = reader.text()
        high = counted[0] + 10
        now = requests_of(text) if "freehold_requests_total" in text else 0
        assert last <= now and low <= now <= high
        last = now
    thread.join()
    assert requests_of(reader.text()) == 600 and len(list(tmp_path.glob("*.counts"))) <= 10
    reader.close()
