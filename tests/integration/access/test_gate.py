"""Who is let in, and what becomes of it when the store is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from access_fixtures import run, settings_of, until
from postgres_fixture import running_postgres

from freehold.access import Access, AdminAPI, KeyDesk, Ticket
from freehold.access.fields import KeyFields, TeamFields
from freehold.access.windows import window_of
from freehold.config import Settings
from freehold.domain.errors import (
    AuthError,
    ConfigError,
    FreeholdError,
    LimitReached,
    NotFound,
    RequestError,
    StoreError,
)
from freehold.store import ControlStore


def _access(settings: Settings, clock: Callable[[], float] = time.time) -> Access:
    return Access(settings, lambda: ControlStore.open(settings.control_url), clock)


def _desk(settings: Settings) -> KeyDesk:
    return KeyDesk(settings, ControlStore.open(settings.control_url), by="command")


def test_a_key_is_taken_in_either_header_and_in_no_other_form(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")
    desk = _desk(settings)
    text = desk.create(KeyFields(name="k")).text.encode()
    other = desk.create(KeyFields(name="other")).key

    async def work() -> None:
        access = _access(settings)
        await access.start()
        grant = access.admit(b"Bearer " + text)
        assert (grant.name, grant.own) == ("k", True)
        for headers in ((b"bearer  " + text, None), (None, text), (b"Basic eDp5", text), (b"Bearer " + text, b"wrong")):
            assert access.admit(*headers).key_id == access.admit(*headers).key_id == grant.key_id
        hostile = [b"", b"*", b"%", b"fh-*", text[:-1], text + b"x", text.upper(), b"' OR '1'='1", b"\xff\xfe" * 4000]
        hostile += [other.secrets[0].digest.encode(), other.secrets[0].shown.encode(), other.key_id.encode()]
        for wrong in hostile:
            for headers in ((b"Bearer " + wrong, None), (None, wrong), (wrong, None)):
                with pytest.raises(AuthError) as caught:
                    access.admit(*headers)
                assert not wrong or wrong.decode("latin-1") not in str(caught.value)
        for missing in ((None, None), (b"", b""), (b"Bearer", None)):
            with pytest.raises(AuthError, match="missing"):
                access.admit(*missing)
        await access.stop()

    run(work())


def test_the_gateways_own_key_goes_on_and_is_not_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "own-key")
    settings = Settings(data_dir=str(tmp_path))
    settings = _with(settings, gateway={"api_key_env": "OWN"})

    async def work() -> None:
        access = _access(settings)
        await access.start()
        grant = access.admit(b"Bearer own-key")
        assert (grant.key_id, grant.own, grant.limited, grant.scoped) == (None, True, False, False)
        assert access.admit(None, b"own-key") is grant
        (await access.taken(grant, 10**9, 10**15)).settle(1, 1)
        for wrong in (b"Bearer own-kez", b"Bearer own-key2", None):
            with pytest.raises(AuthError):
                access.admit(wrong)
        await access.stop()

    run(work())
    monkeypatch.delenv("OWN")
    with pytest.raises(ConfigError, match="OWN"):
        _access(settings)


def test_keys_expire_by_the_clock(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")
    text = _desk(settings).create(KeyFields(name="k", expires="2100-01-01")).text
    now = [time.time()]

    async def work() -> None:
        access = _access(settings, clock=lambda: now[0])
        await access.start()
        header = b"Bearer " + text.encode()
        assert access.admit(header).name == access.admit(header).name == "k"
        now[0] = 4_102_444_800.0
        with pytest.raises(AuthError, match="expired"):
            access.admit(header)
        await access.stop()

    run(work())


def test_a_required_key_is_required_before_there_is_any(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "", required=True)

    async def work() -> None:
        access = _access(settings)
        await access.start()
        for headers in ((None, None), (b"Bearer sk-something", None)):
            with pytest.raises(AuthError):
                access.admit(*headers)
        await access.stop()

    run(work())


def test_the_next_minute_begins_with_a_lease_at_hand(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")
    store = ControlStore.open(settings.control_url)
    made = _desk(settings).create(KeyFields(name="k", requests_per_minute=10_000))
    ends = window_of("requests", 1_800_000_000.0).ends
    now = [ends - 0.5]

    async def work() -> None:
        access = _access(settings, clock=lambda: now[0])
        await access.start()
        grant = access.admit(b"Bearer " + made.text.encode())
        for _ in range(50):
            (await access.taken(grant, 1, 0)).settle(1, 0)
        await until(lambda: store.access.used(made.key.key_id, "requests", ends) > 0)
        await asyncio.sleep(0.1)  # the worker hears of it
        now[0] = ends + 0.1
        outcomes: list[object] = []
        access.take(grant, 1, 0, outcomes.append)
        assert [type(outcome) for outcome in outcomes] == [Ticket]  # at once
        await access.stop()

    run(work())
    store.close()


def test_dollars_are_limited_per_day_and_month_and_for_the_team(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")
    desk = _desk(settings)
    desk.create_team(TeamFields(name="t", dollars_per_month=2.0))
    text = desk.create(KeyFields(name="k", team="t", dollars_per_day=1.0)).text
    other = desk.create(KeyFields(name="o", team="t")).text
    now = [1_800_000_000.0]
    dollar = 1_000_000_000

    async def work() -> None:
        access = _access(settings, clock=lambda: now[0])
        await access.start()
        own, others = (access.admit(b"Bearer " + each.encode()) for each in (text, other))
        ticket = await access.taken(own, 0, dollar // 2)
        ticket.settle(0, dollar // 10)  # cheaper than thought: the rest is there again
        (await access.taken(own, 0, dollar * 9 // 10)).settle(0, dollar * 9 // 10)
        with pytest.raises(LimitReached, match=r"key 'k' has used up .* \$1.00 per day") as caught:
            await access.taken(own, 0, 1)
        assert caught.value.code == "budget_exceeded"
        assert caught.value.retry_after == window_of("day", now[0]).ends - now[0] + 1
        (await access.taken(others, 0, dollar)).settle(0, dollar)
        with pytest.raises(LimitReached, match="team 't'"):
            await access.taken(others, 0, 1)
        now[0] += 86_400
        with pytest.raises(LimitReached, match="team 't'"):
            await access.taken(own, 0, 1)
        now[0] = float(window_of("month", now[0]).ends)
        (await access.taken(own, 0, dollar)).settle(0, dollar)
        with pytest.raises(LimitReached, match="This request alone"):
            await access.taken(others, 0, 3 * dollar)
        await access.stop()

    run(work())


def test_traffic_flows_while_the_store_is_gone_and_is_charged_afterwards(tmp_path: Path) -> None:
    with running_postgres() as server:
        settings = settings_of(tmp_path, server.url, outage_seconds=3600.0)
        desk = _desk(settings)
        made = desk.create(KeyFields(name="k", requests_per_minute=1000))
        header = b"Bearer " + made.text.encode()
        strict = settings_of(tmp_path, server.url, without_store="refuse", outage_seconds=1.0)

        async def work() -> None:
            at = time.time()
            access, refusing = (_access(each, clock=lambda: at) for each in (settings, strict))
            await access.start()
            await refusing.start()
            grants = access.admit(header), refusing.admit(header)
            (await access.taken(grants[0], 1, 0)).settle(1, 0)
            await asyncio.to_thread(server.stop)
            await until(lambda: access.trouble() is not None and refusing.trouble() is not None)
            began = time.monotonic()
            for _ in range(40):
                (await access.taken(grants[0], 1, 0)).settle(1, 0)
            assert time.monotonic() - began < 1.0  # nobody waits for a store that is known to be gone
            with pytest.raises(StoreError):
                await refusing.taken(grants[1], 1, 0)
            assert access.admit(header).name == "k"
            with pytest.raises(AuthError):
                access.admit(b"Bearer fh-unknown")
            await until(lambda: _refuses(refusing, header))
            await asyncio.to_thread(server.start)
            await until(lambda: access.trouble() is None, 20.0)
            store = await asyncio.to_thread(ControlStore.open, settings.control_url)
            began = window_of("requests", at).began
            await until(lambda: store.access.used(made.key.key_id, "requests", began) >= 41, 20.0)
            await until(lambda: _admits(refusing, header), 20.0)
            (await refusing.taken(refusing.admit(header), 1, 0)).settle(1, 0)
            await access.stop()
            await refusing.stop()
            assert sum(row.requests for row in store.access.spent(0)) == 42
            store.close()

        run(work(), 120.0)


def test_a_worker_that_starts_without_its_store_lets_nobody_in_where_there_were_keys(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")
    text = _desk(settings).create(KeyFields(name="k")).text

    def gone() -> ControlStore:
        raise StoreError("The control database is gone.", "Put it back.")

    async def work() -> None:
        access = Access(settings, gone)
        await access.start()
        for header in (None, b"Bearer " + text.encode()):
            with pytest.raises(StoreError, match="cannot be checked"):
                access.admit(header)
        await access.stop()
        fresh = Access(settings_of(tmp_path / "fresh", ""), gone)
        await fresh.start()
        assert fresh.admit(None).own is False  # no key was ever made here: traffic flows
        await fresh.stop()

    run(work())


def test_a_store_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")
    store = ControlStore.open(settings.control_url)
    text = _desk(settings).create(KeyFields(name="k", requests_per_minute=100)).text
    at = time.time()

    async def work() -> None:
        access = _access(settings, clock=lambda: at)
        await access.start()
        grant = access.admit(b"Bearer " + text.encode())
        with store.transaction():  # holds SQLite's only write lock
            store.access.changed()
            began = time.monotonic()
            tickets = await asyncio.gather(*(access.taken(grant, 1, 0) for _ in range(5)))
            assert time.monotonic() - began < 3.0
            longest = 0.0
            while time.monotonic() - began < 8.0:  # from now on nobody waits, though keys can still be read
                asked = time.monotonic()
                tickets.append(await access.taken(grant, 1, 0))
                longest = max(longest, time.monotonic() - asked)
                await asyncio.sleep(0.1)
            assert longest < 0.5
        for ticket in tickets:
            ticket.settle(1, 0)
        window = window_of("requests", at).began
        await until(lambda: store.access.used(grant.key_id or "", "requests", window) >= len(tickets))
        await access.stop()

    run(work())


def test_admin_calls_need_the_admin_key_and_nothing_else_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN", "admin-key")
    monkeypatch.setenv("OWN", "own-key")
    settings = _with(settings_of(tmp_path, "", admin_key_env="ADMIN"), gateway={"api_key_env": "OWN"})
    text = _desk(settings).create(KeyFields(name="k")).text.encode()

    def opened() -> ControlStore:
        return ControlStore.open(settings.control_url)

    async def work() -> None:
        api = AdminAPI(settings, opened)
        for header in (
            None,
            b"",
            b"Bearer",
            b"Bearer own-key",
            b"Bearer " + text,
            b"Basic admin-key",
            b"Bearer admin-ke",
        ):
            for path in ("keys", "teams", "usage", "nothing", "../v1/models"):
                with pytest.raises(AuthError):
                    await api.answer("GET", f"/admin/v1/{path}", "", header, b"")
        admin = b"Bearer admin-key"
        status, made = await api.answer("POST", "/admin/v1/keys", "", admin, b'{"name": "n", "models": ["*"]}')
        assert (status, made["key"][:3], made["state"]) == (201, "fh-", "active")
        refused: list[tuple[str, str, bytes, type[FreeholdError]]] = [
            ("PUT", "keys", b"", NotFound),
            ("GET", "keys/", b"", NotFound),
            ("GET", "keys/none", b"", NotFound),
            ("GET", "keys/..%2f..%2fetc", b"", NotFound),
            ("POST", "keys/n/rotate/more", b"", NotFound),
            ("POST", "keys", b"{", RequestError),
            ("POST", "keys", b'{"name": "x", "admin": true}', RequestError),
            ("POST", "keys", b'{"name": "' + b"x" * 70_000 + b'"}', RequestError),
            ("POST", "keys/n/rotate", b'{"grace_seconds": -1}', RequestError),
        ]
        for method, path, body, error in refused:
            with pytest.raises(error):
                await api.answer(method, f"/admin/v1/{path}", "", admin, body)
        for query in ("since=yesterday", "by=digest", "since=2000-01-01"):
            with pytest.raises(RequestError):
                await api.answer("GET", "/admin/v1/usage", query, admin, b"")
        await api.close()
        off = AdminAPI(_with(settings, access={}), opened)
        with pytest.raises(NotFound, match="no admin API"):
            await off.answer("GET", "/admin/v1/keys", "", admin, b"")

    run(work())
    monkeypatch.setenv("ADMIN", "own-key")
    with pytest.raises(ConfigError, match="same as the gateway's"):
        AdminAPI(settings, opened)


def _with(settings: Settings, **tables: dict[str, object]) -> Settings:
    import msgspec

    return msgspec.convert({**msgspec.to_builtins(settings), **tables}, Settings)


def _admits(access: Access, header: bytes) -> bool:
    try:
        access.admit(header)
    except StoreError:
        return False
    return True


def _refuses(access: Access, header: bytes) -> bool:
    return not _admits(access, header)
