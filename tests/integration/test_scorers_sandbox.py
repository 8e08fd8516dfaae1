"""The sandbox: code that means harm is run for real, and the control run shows that the harm would have been done."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import PythonScorer, Score
from freehold.scorers import Context, compare, python, score

TESTS = """
def test_numbers():
    assert all([abs(add(1, 2) - 3) == 0, add(1, 2) == 3])

def test_texts():
    try:
        add(1, "b")
    except:
        pass
    else:
        raise AssertionError("a number and a text were added")
    assert add("a", "b") == "ab"
"""
GOOD = "def add(a, b):\n    return a + b\n"


@pytest.fixture(autouse=True, scope="module")
def _needs_namespaces() -> None:
    try:
        graded(GOOD)
    except ScorerError as error:
        pytest.skip(str(error))


def graded(code: str, tests: str = TESTS, **options: object) -> Score:
    return score(PythonScorer(tests=tests, **options), textwrap.dedent(code), None)  # type: ignore[arg-type]


def seen(code: str) -> str:
    """What `probe()` of this code returns in the box, as a failing assert shows it."""
    return graded(code, "assert False, probe()").detail


def test_code_that_passes_is_a_one_and_code_that_does_not_is_a_zero() -> None:
    assert graded(GOOD).value == 1.0
    assert graded(f"Sure:\n```python\n{GOOD}```\nand then call it.").value == 1.0
    half = "def add(a, b):\n    return 3"
    assert (graded(half).value, graded(half, partial=True).value) == (0.0, pytest.approx(2 / 3))
    for wrong in ("", "def add(a, b) return", "raise ValueError('\u2620')", "x = 1", "\ud800", "def add(a): return 1"):
        assert graded(wrong).value == 0.0, wrong
    both = compare(PythonScorer(tests="assert False"), half, GOOD, Context(tests=TESTS))
    assert (both.reference.value, both.answer.value, both.harm) == (1.0, 0.0, 1.0)


FORGERIES = {
    "exits": "import sys\nsys.exit(0)",
    "exits hard": "import os\nos._exit(0)",
    "exits when called": "import os\ndef add(a, b): os._exit(0)",
    "prints the verdict": """
        import os, json
        for number in range(64):
            try: os.write(number, b'{"tests": 3, "failures": []}\\n')
            except OSError: pass
        print('{"tests": 3, "failures": []}', flush=True)
        os._exit(0)""",
    "answers on the socket": """
        import os, json, struct
        body = json.dumps({"names": {}}).encode()
        os.write(3, struct.pack("!I", len(body)) + body)
        reply = json.dumps({"result": {"int": "3"}, "arguments": {"tuple": []}}).encode()
        os.write(3, (struct.pack("!I", len(reply)) + reply) * 5)""",
    "patches what tests use": """
        import builtins, unittest, sys, json
        builtins.AssertionError = ArithmeticError
        unittest.TestCase.run = lambda *a: None
        json.dumps = lambda *a: '{"tests": 3, "failures": []}'
        sys.settrace(lambda *a: None)
        def add(a, b): return 4""",
    "equals everything": """
        class Anything:
            def __eq__(self, other): return True
            def __getattr__(self, name): return Anything()
            __lt__ = __gt__ = __le__ = __ge__ = __eq__
        def add(a, b): return Anything()""",
    "equals as an int": """
        class One(int):
            def __eq__(self, other): return True
            __hash__ = int.__hash__
        def add(a, b): return One(7)""",
    "is not there": """
        import sys, types
        sys.modules["tests"] = types.ModuleType("tests")
        def add(a, b): raise SystemExit(0)""",
    "dies instead of raising": "import os\ndef add(a, b): os._exit(1)",
    "hides the tests": "def test_numbers(): pass\ntest_texts = test_numbers\ndef add(a, b): return 0",
    "skips": "class SkipTest(Exception): pass\ndef add(a, b): raise SkipTest",
    "judges itself": "def abs(x): return 0\ndef all(x): return True\ndef add(a, b): return 4",
    "kills the tests": """
        import os, signal
        def add(a, b):
            for number in (1, os.getppid()):
                os.kill(number, signal.SIGTERM)
            return 4""",
    "stops the tests": """
        import os, signal
        for number in (1, os.getppid()):
            os.kill(number, signal.SIGSTOP)
        def add(a, b): return 4""",
    "reads the tests": """
        import os
        def add(a, b):
            found = []
            for number in (1, os.getppid()):
                for name in ("mem", "environ", "fd/0", "cmdline"):
                    try: found.append(open(f"/proc/{number}/{name}", "rb").read(10))
                    except OSError: pass
            return 3 if found else 4""",
}


@pytest.mark.parametrize("code", FORGERIES.values(), ids=list(FORGERIES))
def test_a_verdict_cannot_be_forged(code: str) -> None:
    one = graded(code, seconds=3)
    assert one.value == 0.0 and one.detail


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A port on loopback, and those who connected to it."""
    came: list[object] = []
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            came.append(address)
            connection.close()

    thread = threading.Thread(target=accept)
    thread.start()
    yield server.getsockname()[1], came
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


CONNECT = """
import socket
def reach(port):
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    return True
"""


def test_nothing_reaches_the_network_not_even_loopback(listener: tuple[int, list[object]]) -> None:
    port, came = listener
    assert "unreachable" in graded(CONNECT, f"assert reach({port})").detail and came == []
    job = json.dumps({"answer": CONNECT, "tests": f"assert reach({port})", "entry": ""}).encode()
    assert python._run(PythonScorer(), job, isolate=False)["failures"] == [] and len(came) == 1  # the control
    other = "import socket\ndef probe():\n    return socket.getaddrinfo('example.com', 80)"
    assert "name resolution" in seen(other)


def test_environment_and_files_are_out_of_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    (tmp_path / "secret").write_text("sk-very-secret")
    paths = [str(tmp_path / "secret"), "/etc/passwd", "/proc/self/environ", str(tmp_path), __file__]
    code = f"""
        import os
        def probe():
            found = [sorted(os.environ), os.getuid() == 0]
            for path in {paths!r}:
                found.append(os.path.exists(path))
            return found"""
    assert seen(code).endswith("[['LC_CTYPE', 'PYTHONHASHSEED'], False, False, False, False, False, False]\".")
    code = f"""
        import os
        def probe():
            for folder in ({str(tmp_path)!r}, "/", "/usr", "/etc", "/dev", "/dev/shm", os.path.dirname(os.__file__)):
                try:
                    open(folder + "/planted", "w").close()
                    return folder
                except OSError:
                    pass
            open("/tmp/mine", "w").write("x")
            return "only its own folder\""""
    assert "only its own folder" in seen(code)
    assert not (tmp_path / "planted").exists()


BOMBS = {
    "memory": "def add(a, b):\n    return len(bytearray(10**10))",
    "many small objects": "def add(a, b):\n    kept = []\n    while True: kept.append(bytes(10**6))",
    "a fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "an endless loop": "def add(a, b):\n    while True: pass",
    "an endless sleep": "import time\ntime.sleep(999)",
    "a full disk": "kept = open('/tmp/x', 'w')\nwhile True: kept.write('x' * 10**6)",
    "a flood": "import os\nwhile True: print('x' * 10**6)",
    "a huge value": "def add(a, b):\n    return 'x' * 10**8",
    "a process that stays": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(999)\nos._exit(0)",
}


@pytest.mark.parametrize("code", BOMBS.values(), ids=list(BOMBS))
def test_bombs_are_bounded_and_leave_nothing_running(code: str) -> None:
    before = processes()
    began = time.monotonic()
    assert graded(code, seconds=1, memory_mb=256).value == 0.0
    assert time.monotonic() - began < 6
    deadline = time.monotonic() + 5
    while processes() - before and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    assert not processes() - before


def processes() -> set[str]:
    """Ids of the processes that are part of some sandbox."""
    found: set[str] = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes()
        except OSError:
            continue
        if b"launch.py" in line or b"inside.py" in line:
            found.add(entry.parent.name)
    return found


def test_how_many_processes_a_bomb_gets() -> None:
    code = """
        import os, time
        count = 0
        try:
            while count < 500:
                if os.fork() == 0:
                    time.sleep(60)
                count += 1
        except OSError:
            pass
        def probe(): return count < 16"""
    assert graded(code, "assert probe()").value == 1.0


def test_tests_of_several_styles_and_kinds_of_values() -> None:
    code = """
        class Account:
            def __init__(self, cents): self.cents = cents
            def __eq__(self, other): return self.cents == other.cents
            def __len__(self): return self.cents
            def pay(self, cents):
                if cents > self.cents: raise Overdrawn("no")
                self.cents -= cents
        class Overdrawn(ValueError): pass
        def sort_in_place(values): values.sort()
        def pieces():
            yield 1
            yield 2
        def echo(value): return value
        def fail(): raise KeyError("k")
        LIMIT = 7
        if __name__ == "__main__": raise SystemExit("not a program")
    """
    tests = """
        import unittest
        from solution import Account, Overdrawn, LIMIT

        class TestAccount(unittest.TestCase):
            def test_pay(self):
                account = Account(5)
                account.pay(2)
                self.assertEqual(account.cents, 3)
                self.assertEqual(len(account), 3)
                self.assertEqual(account, Account(3))
                self.assertNotEqual(account, Account(4))
                self.assertNotEqual(account, 3)
                with self.assertRaises(Overdrawn):
                    account.pay(10)

        def test_values():
            for value in (None, True, 10**5000, 0.1, float("inf"), "\\ud800", b"x", 1j,
                          [1, (2, {3})], {(1, 2): {"a": []}}):
                assert echo(value) == value and type(echo(value)) is type(value)
            assert LIMIT == 7 and list(pieces()) == [1, 2]
            values = [3, 1]
            sort_in_place(values)
            assert values == [1, 3]

        async def test_later():
            assert echo(1) == 1

        def check(candidate):
            try:
                fail()
            except KeyError:
                assert candidate(1) == 1
            else:
                raise AssertionError
    """
    one = graded(code, textwrap.dedent(tests), entry="echo")
    assert (one.value, one.detail) == (1.0, "All of 5 test(s) pass.")
    assert graded(code, "assert candidate(1) == 1", entry="nobody").value == 0.0
    assert graded(code, "async def test_later():\n    assert echo(1) == 2").value == 0.0
    assert graded("def sum(a, b): return a + b", "assert sum(1, 2) == 3", entry="sum").value == 1.0


@pytest.mark.parametrize("tests", ["", "x = (", "x = 1"])
def test_tests_that_are_none_are_said_so_and_score_nothing(tests: str) -> None:
    with pytest.raises(ScorerError) as caught:
        graded(GOOD, tests)
    assert caught.value.hint


NO_NAMESPACES = """
import sys
from freehold.domain.errors import ScorerError
from freehold.domain.scoring import PythonScorer
from freehold.scorers import score
tests, code = "assert add(1, 2) == 3", "def add(a, b): return a + b"
try:
    score(PythonScorer(tests=tests), code, None)
    print("ran")
except ScorerError as error:
    print(error)
print(score(PythonScorer(tests=tests, allow_without_network_isolation=True), code, None).value)
print(score(PythonScorer(tests=tests, allow_without_network_isolation=True), "def add(a, b): return 4", None).value)
"""


def test_without_namespaces_it_refuses_unless_told_to_go_on() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare(1), to make a place without namespaces")
    script = f"echo 0 > /proc/sys/user/max_user_namespaces && exec {sys.executable} -c '{NO_NAMESPACES}'"
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", script], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert "cannot be cut off from the network" in lines[0] and "allow_without_network_isolation" in lines[0], done
    assert lines[1:] == ["1.0", "0.0"]
