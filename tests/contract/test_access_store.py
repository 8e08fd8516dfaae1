"""Virtual keys and leases behave alike over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine, text

from freehold.access import AdminAPI, KeyDesk
from freehold.access.directory import Directory
from freehold.access.fields import KeyFields, TeamFields
from freehold.config import Settings
from freehold.domain.access import Limits
from freehold.domain.errors import Conflict, NotFound, RequestError, StoreError
from freehold.store import ControlStore
from freehold.store.control.access_tables import Lease, Spent, Want

INJECTIONS = (
    "'; DROP TABLE access_keys; --",
    '" OR 1=1 --',
    "x' UNION SELECT body FROM access_keys --",
    "%(name)s :holder {0} \\' \\x27",
    "☃ 𝕏 ' \" ; --",
)


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with an empty database."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return msgspec.convert({"data_dir": str(tmp_path), "control": {"url": url}}, Settings)


@pytest.fixture
def control(settings: Settings) -> Generator[ControlStore, None, None]:
    store = ControlStore.open(settings.control_url)
    yield store
    store.close()


@pytest.fixture
def desk(settings: Settings, control: ControlStore) -> KeyDesk:
    return KeyDesk(settings, control, by="command")


def test_leases_of_many_threads_never_exceed_the_limit(settings: Settings, control: ControlStore) -> None:
    limit, taken, failures = 400, [0] * 8, []
    barrier = threading.Barrier(len(taken))

    def work(number: int) -> None:
        own = ControlStore.open(settings.control_url)
        barrier.wait(timeout=60)
        try:
            for _ in range(25):
                # Both rows in either order: a deadlock would show.
                wants = [Want("key_1", "requests", 60, limit, 3, 5), Want("team_1", "tokens", 60, 10**9, 1)]
                leases = own.access.lease(wants if number % 2 else wants[::-1])
                taken[number] += leases[0 if number % 2 else 1].given
        except StoreError as error:
            failures.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(taken))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not failures
    assert sum(taken) == control.access.used("key_1", "requests", 60) == limit
    assert control.access.used("team_1", "tokens", 60) == 200


def test_leases_keep_to_their_window_and_holder(control: ControlStore) -> None:
    access = control.access
    first = access.lease([Want("a", "requests", 60, 10, 10), Want("a", "requests", 120, 10, 4)])
    assert first == [Lease(10, 0), Lease(4, 6)]
    assert access.lease([Want("b", "requests", 60, 10, 1), Want("a", "tokens", 60, 10, 1)]) == [
        Lease(1, 9),
        Lease(1, 9),
    ]
    assert access.lease([Want("a", "requests", 60, 10, 1, charge=-4)]) == [Lease(1, 3)]
    assert access.lease([Want("a", "requests", 60, 10, 5, charge=20)]) == [Lease(0, 0)]
    assert access.used("a", "requests", 60) == 27
    access.lease([Want("a", "requests", 6000, 10, 1)])  # a window much later sweeps the old ones away
    assert (access.used("a", "requests", 60), access.used("b", "requests", 60)) == (0, 1)


def test_what_was_spent_adds_up(control: ControlStore) -> None:
    access = control.access
    access.add_spent([Spent("k", 0, 1, 2, 3), Spent("t", 0, 1, 2, 3)])
    access.add_spent([Spent("k", 0, 10, 20, 30), Spent("k", 86_400, 1, 1, 2**60)])
    access.add_spent([])
    assert access.spent(0) == [Spent("k", 0, 11, 22, 33), Spent("t", 0, 1, 2, 3), Spent("k", 86_400, 1, 1, 2**60)]
    assert access.spent(0, 86_400) == access.spent(0)[:2]
    assert access.spent(86_400) == access.spent(0)[2:]


def test_every_change_of_a_key_is_stored_told_and_counted(desk: KeyDesk, control: ControlStore) -> None:
    team = desk.create_team(TeamFields(name="search", dollars_per_day=5.0))
    made = desk.create(KeyFields(name="ci", team="search", models=("gpt-*",), requests_per_minute=60))
    assert made.key.team == team.team_id
    version = control.access.version()
    changed = desk.update("ci", KeyFields(requests_per_minute=None, tokens_per_minute=1000, team=None))
    assert changed.limits == Limits(tokens_per_minute=1000) and changed.team == ""
    rotated = desk.rotate(made.key.key_id, grace_seconds=60)
    assert [secret.until_ns is None for secret in rotated.key.secrets] == [False, True]
    assert rotated.text != made.text
    assert len(desk.rotate("ci").key.secrets) == 1
    desk.revoke("ci")
    desk.revoke("ci")
    assert control.access.version() > version
    assert desk.key("ci").revoked_ns is not None
    for late in (lambda: desk.update("ci", KeyFields()), lambda: desk.rotate("ci")):
        with pytest.raises(Conflict, match="revoked"):
            late()
    kinds = [event.kind for event in control.events()]
    assert kinds == ["key-revoked", "key-rotated", "key-rotated", "key-changed", "key-created", "team-created"]
    told = msgspec.json.encode(control.events()).decode()
    directory = Directory.read(control)
    digests = [secret.digest for key in directory.keys.values() for secret in key.secrets]
    assert not any(secret in told for secret in (made.text, rotated.text, *digests))
    assert [directory.find(digest) is not None for digest in digests] == [True]
    assert directory.find("0" * 64) is None


def test_names_are_taken_once(desk: KeyDesk) -> None:
    desk.create_team(TeamFields(name="t"))
    with pytest.raises(Conflict, match="a team 't' already"):
        desk.create_team(TeamFields(name="t"))
    first = desk.create(KeyFields(name="a", team="t"))
    with pytest.raises(Conflict, match="a key 'a' already"):
        desk.create(KeyFields(name="a"))
    with pytest.raises(Conflict, match="Keys belong to team 't': a"):
        desk.remove_team("t")
    desk.revoke("a")
    second = desk.create(KeyFields(name="a"))
    assert desk.key("a") == second.key and desk.key(first.key.key_id).revoked_ns is not None
    desk.remove_team("t")
    for lost in (lambda: desk.team("t"), lambda: desk.key("b"), lambda: desk.update("a", KeyFields(team="t"))):
        with pytest.raises(NotFound):
            lost()
    with pytest.raises(RequestError, match="needs a name"):
        desk.create(KeyFields())


def test_a_change_that_fails_changes_nothing(desk: KeyDesk, control: ControlStore) -> None:
    version = control.access.version()
    with pytest.raises(NotFound):
        desk.create(KeyFields(name="a", team="nobody"))
    assert (desk.all_keys(), control.events(), control.access.version()) == ([], [], version)


def test_two_hosts_need_the_same_pepper(desk: KeyDesk, control: ControlStore, settings: Settings) -> None:
    desk.create(KeyFields(name="a"))
    elsewhere = msgspec.structs.replace(settings, data_dir=str(settings.data / "other"))
    with pytest.raises(Conflict, match="has not the pepper"):
        KeyDesk(elsewhere, control, by="command").create(KeyFields(name="b"))
    (settings.data / "keys" / "pepper").write_text("0" * 64)
    with pytest.raises(Conflict, match="another pepper"):
        desk.create(KeyFields(name="b"))
    assert [key.name for key in desk.all_keys()] == ["a"]


def test_names_that_look_like_sql_are_names(desk: KeyDesk, control: ControlStore, settings: Settings) -> None:
    texts: list[str] = []
    for number, hostile in enumerate(INJECTIONS):
        team = desk.create_team(TeamFields(name=hostile))
        made = desk.create(KeyFields(name=hostile, team=hostile, models=(hostile,), tasks=(hostile,)))
        assert (made.key.name, made.key.models, made.key.team) == (hostile, (hostile,), team.team_id)
        assert desk.key(hostile) == made.key
        texts.append(made.text)
        control.access.lease([Want(hostile, "requests", 60, 10, number + 1)])
        control.access.add_spent([Spent(hostile, 0, number + 1, 0, 0)])
        with pytest.raises(NotFound):
            desk.key(f"{hostile} ")
    for number, hostile in enumerate(INJECTIONS):
        assert control.access.used(hostile, "requests", 60) == number + 1
    assert {row.holder for row in control.access.spent(0)} == set(INJECTIONS)
    assert len(desk.all_keys()) == len(desk.all_teams()) == len(INJECTIONS)
    engine = create_engine(settings.control_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        bodies = "".join(connection.execute(text("SELECT body FROM access_keys")).scalars())
    engine.dispose()
    assert "fh-" in bodies and not any(secret in bodies for secret in texts)


def test_the_admin_api_is_one_over_both(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN", "the-admin-key")
    changed = msgspec.convert({"admin_key_env": "ADMIN"}, type(settings.access))
    settings = msgspec.structs.replace(settings, access=changed)

    async def work() -> None:
        api = AdminAPI(settings, lambda: ControlStore.open(settings.control_url))

        async def call(method: str, path: str, body: object = None, query: str = "") -> tuple[int, dict]:
            sent = b"" if body is None else msgspec.json.encode(body)
            return await api.answer(method, f"/admin/v1/{path}", query, b"Bearer the-admin-key", sent)

        made = await asyncio.gather(*(call("POST", "keys", {"name": f"k{i}"}) for i in range(8)))
        assert {status for status, _ in made} == {201}
        status, listed = await call("GET", "keys")
        assert status == 200 and {row["name"] for row in listed["data"]} == {f"k{i}" for i in range(8)}
        assert all("key" not in row and "digest" not in str(row) for row in listed["data"])
        wanted = made[0][1]["key_id"]
        assert (await call("PATCH", f"keys/{wanted}", {"dollars_per_month": 12.5}))[1]["dollars_per_month"] == 12.5
        assert (await call("DELETE", f"keys/{wanted}"))[1]["state"] == "revoked"
        assert (await call("GET", "usage", query="by=day"))[1]["data"] == []
        await api.close()

    asyncio.run(work())
