"""What a grant allows, what an estimate is made of, and what may be said of a key."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import msgspec
import pytest

from freehold.access.credentials import Pepper, new_secret, pepper_path, shown
from freehold.access.documents import key_document
from freehold.access.fields import KeyFields, parse
from freehold.access.grants import Account, Grant, Ticket
from freehold.config import Settings
from freehold.domain.access import Limits, Secret, VirtualKey
from freehold.domain.errors import ConfigError, Forbidden, RequestError, StoreError
from freehold.store.control.access_tables import Lease


def _key(**changes: object) -> VirtualKey:
    secret = Secret(digest="d" * 64, shown="fh-abcd…", created_ns=1)
    key = VirtualKey(key_id="key_00000001", name="ci", secrets=(secret,), created_ns=1, updated_ns=1)
    return msgspec.structs.replace(key, **changes)


def test_a_scope_allows_what_it_names_and_nothing_else() -> None:
    grant = Grant(_key(models=("gpt-4o*", "owned/?"), tasks=("triage", "task_ab*")))
    for _ in range(2):  # the second time from memory
        grant.check("gpt-4o-mini", "triage")
        grant.check("owned/a", "", "task_abc")
        for model, task, task_id, named in (
            ("gpt-4", "triage", "", "model 'gpt-4'"),
            ("GPT-4o", "triage", "", "model 'GPT-4o'"),
            ("", "triage", "", "no model"),
            ("gpt-4o", "other", "task_b", "task 'other'"),
            ("gpt-4o", "", "", "without a task"),
            ("gpt-4o*\n", "Triage", "", "task 'Triage'"),
        ):
            with pytest.raises(Forbidden, match=named):
                grant.check(model, task, task_id)
    Grant(None).check("anything")
    Grant(_key()).check("anything", "at all")


def test_what_a_scope_remembers_is_bounded() -> None:
    grant = Grant(_key(models=("*",)))
    for number in range(5_000):
        grant.check(f"model-{number}")
    assert len(grant._seen) <= 1_000


def test_a_ticket_settles_once_and_only_in_its_own_window() -> None:
    account = Account("key_00000001", "key 'ci'")
    account.limit(Limits(requests_per_minute=10, tokens_per_minute=1000))
    grant = Grant(_key(), [account])
    requests, tokens = account.meters["requests"], account.meters["tokens"]
    for meter in (requests, tokens):
        meter.turn(0.0)
        meter.granted(meter.want(0.0), Lease(meter.limit, 0), 0.0)
        meter.left -= 1 if meter is requests else 100
    noted: list[Account] = []
    ticket = Ticket(grant, 100, 0, 30.0, noted.append)
    ticket.settle(160, 5, output_tokens=60)
    ticket.settle(999, 999)
    assert (requests.left, tokens.left) == (9, 840)
    assert (account.requests, account.tokens, account.nanousd, noted) == (1, 160, 5, [account])
    late = Ticket(grant, 100, 0, 30.0, noted.append)
    tokens.turn(61.0)
    late.settle(500, 5)
    assert tokens.left == 0
    assert account.tokens == 660


def test_estimates_follow_what_a_key_is_answered() -> None:
    account = Account("key_00000001", "key 'ci'")
    grant = Grant(_key(), [account])
    assert grant.estimate(400, 50) == (100, 50)
    before = grant.estimate(400, None)[1]
    for _ in range(100):
        Ticket(grant, 0, 0, 0.0, lambda _: None).settle(1010, 0, output_tokens=1000)
    assert before < 900 < grant.estimate(400, None)[1] <= 1000


def test_rate_headers_tell_of_whichever_has_less_left() -> None:
    own, team = Account("key_00000001", "key 'ci'"), Account("team_0000001", "team 'all'")
    own.limit(Limits(requests_per_minute=100, tokens_per_minute=5000))
    team.limit(Limits(requests_per_minute=1000, nanousd_per_day=1))
    now = time.time()
    for account, left in ((own, 80), (team, 30)):
        for meter in account.meters.values():
            meter.turn(now)
            meter.granted(meter.want(0.0), Lease(left // 2, left // 2), 0.0)
    headers = dict(Grant(_key(), [own, team]).headers())
    assert headers[b"x-ratelimit-limit-requests"] == b"1000"
    assert headers[b"x-ratelimit-remaining-requests"] == b"30"
    assert headers[b"x-ratelimit-remaining-tokens"] == b"80"
    assert 0 < int(headers[b"x-ratelimit-reset-tokens"].removesuffix(b"s")) <= 61
    assert Grant(None).headers() == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": ""}',
        b'{"name": "a\\u0007"}',
        b'{"name": " "}',
        b'{"name": 7}',
        b'{"name": "a", "models": "gpt"}',
        b'{"name": "a", "models": ["ok", "x\\ny"]}',
        b'{"name": "a", "dollars_per_day": -1}',
        b'{"name": "a", "dollars_per_day": 1e300}',
        b'{"name": "a", "dollars_per_day": NaN}',
        b'{"name": "a", "requests_per_minute": 0}',
        b'{"name": "a", "requests_per_minute": 1.5}',
        b'{"name": "a", "expires": "2001-01-01"}',
        b'{"name": "a", "expires": "soon"}',
        b'{"name": "a", "digest": "0"}',
        b'{"name": "a", "secrets": []}',
        b'{"name": "a", "key_id": "key_1"}',
        b"[]",
        b"{",
        b'{"name": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_said_of_a_key_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        parse(KeyFields, body).key(_key(), "")


def test_changes_change_what_they_name() -> None:
    limits = Limits(requests_per_minute=5, nanousd_per_day=7)
    key = _key(limits=limits, models=("a",), expires_ns=9)
    fields = parse(KeyFields, b'{"dollars_per_month": 2.5, "requests_per_minute": null, "expires": null}')
    changed = fields.key(key, "team_1")
    assert changed.limits == Limits(nanousd_per_day=7, nanousd_per_month=2_500_000_000)
    assert (changed.models, changed.expires_ns, changed.team) == (("a",), None, "team_1")


def test_a_pepper_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    assert Pepper.open(settings) is None
    made = Pepper.open(settings, make=True)
    again = Pepper.open(settings, make=True)
    assert made is not None and again is not None
    assert (made.digest(b"x"), made.mark) == (again.digest(b"x"), again.mark)
    assert stat.S_IMODE(pepper_path(settings).stat().st_mode) == 0o600
    assert pepper_path(settings).read_text().strip() not in repr(made) + made.mark
    pepper_path(settings).write_text("fh-not-a-pepper")
    with pytest.raises(StoreError) as caught:
        Pepper.open(settings)
    assert "fh-not-a-pepper" not in str(caught.value)


def test_a_pepper_from_the_environment_must_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = msgspec.convert({"access": {"pepper_env": "PEPPER"}}, Settings)
    for value in ("", "short"):
        monkeypatch.setenv("PEPPER", value)
        with pytest.raises(ConfigError, match="PEPPER"):
            Pepper.open(settings)
    monkeypatch.setenv("PEPPER", "0123456789abcdef" * 2)
    one = Pepper.open(settings)
    monkeypatch.setenv("PEPPER", "0123456789abcdeF" * 2)
    other = Pepper.open(settings)
    assert one is not None and other is not None and one.digest(b"x") != other.digest(b"x")


def test_secrets_are_long_random_and_not_in_documents() -> None:
    texts = {new_secret() for _ in range(100)}
    assert len(texts) == 100 and all(text.startswith("fh-") and len(text) >= 35 for text in texts)
    text = texts.pop()
    assert len(shown(text)) == 8
    document = msgspec.json.encode(key_document(_key(), {})).decode()
    assert "d" * 64 not in document and "fh-abcd…" in document
