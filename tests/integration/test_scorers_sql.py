"""Queries and schemas in the worker: a real process, real SQLite files, and queries that mean harm."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import SchemaScorer, SqlScorer
from freehold.scorers import Context, check, compare, score, worker

SCRIPT = "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y'), (NULL, 'z');"
SHOP = SqlScorer(script=SCRIPT, seconds=0.5)
ALL = "SELECT a, b FROM t"


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("select a as n, b as m from t order by b desc", ALL, 1.0),
        ("Here it is:\n```sql\nSELECT a, b FROM t;\n```\nDone.", ALL, 1.0),
        ("SELECT DISTINCT a, b FROM t", ALL, 0.0),  # a multiset: the double row counts
        ("SELECT b, a FROM t", ALL, 0.0),
        ("SELECT a FROM t", ALL, 0.0),
        (ALL + " ORDER BY b DESC", ALL + " ORDER BY b", 0.0),
        ("SELECT a, b FROM (SELECT * FROM t ORDER BY a DESC)", "SELECT a, b FROM (SELECT * FROM t ORDER BY a)", 1.0),
        ("SELECT 'order by', 1 -- order by\n", "SELECT 'order by', 1.0000000001", 1.0),
        ("SELECT 1.1", "SELECT 1", 0.0),
        ("SELECT '1'", "SELECT 1", 0.0),
        ("SELECT x'31'", "SELECT '1'", 0.0),
        ("SELECT NULL", "SELECT NULL", 1.0),
        ("", ALL, 0.0),
        ("no query", ALL, 0.0),
        (f"{ALL}; {ALL}", ALL, 0.0),
        ("DELETE FROM t", ALL, 0.0),
        ("CREATE TABLE u(a)", ALL, 0.0),
        ("SELECT CAST(x'ff' AS TEXT)", ALL, 0.0),
        ("SELECT 1, \ud800", ALL, 0.0),
        (ALL, "DELETE FROM t", None),
        (ALL, "SELECT nothing", None),
        (ALL, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", None),
    ],
)
def test_results_are_compared_not_texts(answer: str, reference: str, value: float | None) -> None:
    one = score(SHOP, answer, reference)
    assert one.value == value and (one.failed or one.detail), one


def database(folder: Path) -> Path:
    """A file in WAL mode, as a live one may be."""
    path = folder / "a 'shop'?.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCRIPT)
    connection.close()
    return path


def test_a_database_is_read_and_nothing_else_whatever_a_query_says(tmp_path: Path) -> None:
    path, other, outside = database(tmp_path), tmp_path / "other.sqlite", tmp_path / "out.sqlite"
    sqlite3.connect(other).executescript("CREATE TABLE secret(a); INSERT INTO secret VALUES ('s');").close()
    before = path.read_bytes()
    scorer = SqlScorer(database=str(path))
    check(scorer)
    assert score(scorer, ALL, ALL).value == 1.0
    for attack in (
        f"ATTACH '{other}' AS o",
        f"VACUUM INTO '{outside}'",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('libm.so.6')",
        "INSERT INTO t VALUES (9, 9)",
        "BEGIN IMMEDIATE",
        "CREATE TEMP TABLE u(a)",
        "DROP TABLE t",
    ):
        assert score(scorer, attack, ALL).value == 0.0, attack
    for attack in (
        f"ATTACH '{outside}' AS o; CREATE TABLE o.t(a)",
        f"VACUUM INTO '{outside}'",
        "PRAGMA user_version = 1",
    ):
        with pytest.raises(ScorerError):
            score(SqlScorer(script=attack), ALL, ALL)
    assert path.read_bytes() == before and not outside.exists()
    assert score(scorer, ALL, ALL).value == 1.0
    for gone in (SqlScorer(database=str(tmp_path / "none")), SqlScorer(), SqlScorer(database=__file__)):
        with pytest.raises(ScorerError):
            score(gone, ALL, ALL)
    assert score(SqlScorer(), ALL, ALL, Context(script=SCRIPT)).value == 1.0


def test_queries_that_never_end_or_take_all_memory_are_stopped() -> None:
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    wide = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    long = "replace(hex(zeroblob({})), '0', 'a')"
    blind = f"SELECT instr({long.format(1_000_000)}, {long.format(250_000)} || 'b')"  # one step that looks at no clock
    hungry = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 400) "
    hungry += "SELECT length(group_concat(randomblob(3000000))) FROM n"
    began = time.monotonic()
    assert "0.5 s" in score(SHOP, forever, ALL).detail
    assert "rows" in score(SHOP, wide, ALL).detail
    assert score(SHOP, blind, ALL).value is None
    assert score(SHOP, hungry, ALL).value in (0.0, None)
    assert time.monotonic() - began < 15
    assert score(SHOP, ALL, ALL).value == 1.0


def test_the_worker_is_shared_by_threads_and_replaced_when_killed() -> None:
    with ThreadPoolExecutor(4) as pool:
        queries = [f"SELECT {number}" for number in range(40)]
        values = list(pool.map(lambda query: score(SHOP, query, "SELECT 7").value, queries))
    assert values == [float(number == 7) for number in range(40)]
    child = worker._children[os.getpid()]
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert score(SHOP, ALL, ALL).value == 1.0
    assert worker._children[os.getpid()].pid != child.pid


def test_an_interrupted_score_is_not_taken_for_the_next_one() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            score(SHOP, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n", ALL)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert score(SHOP, ALL, ALL).value == 1.0


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "s": {"type": "string", "pattern": "^(a+)+$"}},
    "required": ["n"],
}


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"n": 1}', 1.0),
        ('```json\n{"n": 1, "s": "aa"}\n```', 1.0),
        ('{"n": "1"}', 0.0),
        ("{}", 0.0),
        ('{"n": NaN}', 0.0),
        ("", 0.0),
        ("no JSON", 0.0),
        ("[" * 10_000, 0.0),
        ('{"n": 1, "s": "' + "a" * 40 + 'b"}', None),
    ],
)
def test_answers_are_valid_or_not(answer: str, value: float | None) -> None:
    one = score(SchemaScorer(schema=SCHEMA, seconds=0.5), answer, None)
    assert one.value == value, one
    assert compare(SchemaScorer(), '{"n": 1}', "{}", Context(schema=SCHEMA)).signed == -1.0


def test_a_schema_is_never_fetched() -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/s"
        for schema in ({"$ref": url}, {"allOf": [{"$ref": f"{url}#/a"}]}, {"$id": url, "$ref": "other"}):
            with pytest.raises(ScorerError):
                score(SchemaScorer(schema=schema), "{}", None)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == []


@pytest.mark.parametrize("schema", [{"type": 5}, {"$ref": "#/nowhere"}, {"pattern": "(["}, None])
def test_a_schema_that_is_none_is_said_so(schema: dict[str, object] | None) -> None:
    with pytest.raises(ScorerError) as caught:
        score(SchemaScorer(schema=schema), '"text"', None)
    assert caught.value.hint
