"""Whether two queries have the same result. They run in the worker, on a database that only lets itself be read.

Rows are compared as a multiset, in order where the reference has an outermost ORDER BY (rows that tie in it have no
order of their own: a query for a scored task should order by all that matters). Names of columns do not count, their
order does. A result over the bounds on rows or bytes is not compared.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from freehold.domain.errors import ScorerError
from freehold.domain.scoring import Score, SqlScorer, scored
from freehold.scorers.base import Context, Unusable, fenced_code, shown
from freehold.scorers.worker import call

Row = tuple[Any, ...]
_READS = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE))
_NEVER_IN_SCRIPTS = frozenset((sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA))
_BOUNDS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 4_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
_OPCODES = 10_000
"""Between two looks at the clock."""
_MAX_UNMATCHED = 1_000
"""Rows without an exact counterpart that are matched one by one."""


def score_sql(scorer: SqlScorer, answer: str, reference: str, context: Context) -> Score:
    """1 if both queries have the same result, else 0; an answer that is no query, or writes, or does not end, scores 0.

    Raises:
        ScorerError: no database is set, or it cannot be opened.
    """
    from_request = bool(context.database or context.script)
    database = context.database if from_request else scorer.database
    script = context.script if from_request else scorer.script
    if not database and not script:
        raise ScorerError("The sql scorer has no database.", "Set `database` (a SQLite file) or `script` (SQL).")
    if database and not Path(database).is_file():
        raise ScorerError(f"There is no database at {database}.", "Give the absolute path of a SQLite file.")
    job = {
        "answer": fenced_code(answer),
        "reference": fenced_code(reference),
        "database": database,
        "script": script,
        "absolute": scorer.absolute,
        "relative": scorer.relative,
        "seconds": scorer.seconds,
        "max_rows": scorer.max_rows,
        "max_bytes": scorer.max_bytes,
    }
    result = call("sql", job, 3 * scorer.seconds + 1.0)
    if result.get("unusable"):
        raise ScorerError(f"The sql scorer's database cannot be used: {result['unusable']}", "Mend it, or set another.")
    if result.get("failed"):
        raise Unusable(str(result["failed"]))
    return scored(float(result["value"]), str(result["detail"]))


def compare_queries(job: dict[str, Any]) -> dict[str, Any]:
    """In the worker: run both queries and compare their results."""
    try:
        with_reference = _open(job)
    except sqlite3.Error as error:
        return {"unusable": f"{error}."}
    try:
        wanted, problem = _run(with_reference, job["reference"], job)
        if problem:
            return {"failed": f"The reference's query {problem}."}
        given, problem = _run(with_reference, job["answer"], job)
        if problem:
            return {"value": 0.0, "detail": f"The answer's query {problem}."}
    finally:
        with_reference.close()
    ordered = has_order(job["reference"])
    same = _same_rows(given, wanted, job, ordered=ordered)
    how = "in order" if ordered else "in any order"
    detail = f"{len(given)} row(s) {'are' if same else 'are not'} the reference's {len(wanted)}, {how}."
    return {"value": float(same), "detail": detail}


def _open(job: dict[str, Any]) -> sqlite3.Connection:
    if job["database"]:
        connection = sqlite3.connect(f"file:{quote(job['database'])}?mode=ro", uri=True, isolation_level=None)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # or it is found out at the first query
    else:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.set_authorizer(
            lambda action, a, b, c, d: (
                sqlite3.SQLITE_DENY if action in _NEVER_IN_SCRIPTS or _loads(action, b) else sqlite3.SQLITE_OK
            )
        )
        _limit_time(connection, job["seconds"])
        connection.executescript(job["script"])
        connection.set_authorizer(None)
    for bound, value in _BOUNDS.items():
        connection.setlimit(bound, value)
    connection.text_factory = _text
    connection.execute("PRAGMA temp_store = MEMORY")  # the worker may hardly write a file
    connection.execute("PRAGMA query_only = ON")
    connection.set_authorizer(
        lambda action, a, b, c, d: (
            sqlite3.SQLITE_OK
            if action in _READS or (action == sqlite3.SQLITE_FUNCTION and not _loads(action, b))
            else sqlite3.SQLITE_DENY
        )
    )
    return connection


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _loads(action: int, name: str | None) -> bool:
    return action == sqlite3.SQLITE_FUNCTION and (name or "").lower() == "load_extension"


def _limit_time(connection: sqlite3.Connection, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _OPCODES)


def _run(connection: sqlite3.Connection, query: str, job: dict[str, Any]) -> tuple[list[Row], str]:
    """The rows, or what went wrong."""
    _limit_time(connection, job["seconds"])
    rows: list[Row] = []
    size = 0
    try:
        cursor = connection.execute(query.strip())
        if cursor.description is None:
            return [], "gives no rows"
        for row in cursor:
            rows.append(row)
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
            if len(rows) > job["max_rows"] or size > job["max_bytes"]:
                return [], f"gives more than {job['max_rows']:,} rows or {job['max_bytes']:,} bytes"
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return [], f"did not end within {job['seconds']:g} s"
        return [], f"fails: {shown(error)}"
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        return [], f"fails: {shown(error)}"
    except MemoryError:
        return [], "takes more memory than it may"
    return rows, ""


def has_order(query: str) -> bool:
    """Whether a query has an ORDER BY outside all parentheses, strings, quoted names and comments."""
    plain = re.sub(r"--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]", " ", query, flags=re.S)
    depth = 0
    outside: list[str] = []
    for letter in plain:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        outside.append(" " if depth or letter in "()" else letter)
    return re.search(r"\border\s+by\b", "".join(outside), re.I) is not None


def _same_rows(given: list[Row], wanted: list[Row], job: dict[str, Any], *, ordered: bool) -> bool:
    if len(given) != len(wanted):
        return False
    if ordered:
        return all(_close(a, b, job) for a, b in zip(given, wanted, strict=True))
    ours, theirs = Counter(given), Counter(wanted)  # 1 and 1.0 are equal, text and bytes never
    left, right = list((ours - theirs).elements()), list((theirs - ours).elements())
    if len(left) > _MAX_UNMATCHED:
        return all(_close(a, b, job) for a, b in zip(sorted(left, key=repr), sorted(right, key=repr), strict=True))
    for row in left:
        match = next((at for at, other in enumerate(right) if _close(row, other, job)), None)
        if match is None:
            return False
        del right[match]
    return True


def _close(a: Row, b: Row, job: dict[str, Any]) -> bool:
    return len(a) == len(b) and all(_close_values(x, y, job) for x, y in zip(a, b, strict=True))


def _close_values(a: Any, b: Any, job: dict[str, Any]) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or abs(a - b) <= max(job["absolute"], job["relative"] * abs(b))
    return type(a) is type(b) and a == b
