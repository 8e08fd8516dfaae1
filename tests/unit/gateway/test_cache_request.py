"""Which requests are looked up, what their callers may ask, and that only equal ones share a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.gateway.cache.request import NOISE, Reader, Wish, tenant_of, wish_of
from freehold.upstreams.base import Headers

TENANT = tenant_of("vk_1")
BODY = b'{"model":"m","messages":[]}'
HEADERS: Headers = [(b"content-type", b"application/json"), (b"openai-beta", b"x")]


def key(
    tenant: bytes = TENANT,
    upstream: str = "up",
    origin: str = "o",
    path: bytes = b"/chat/completions",
    headers: Headers = HEADERS,
    body: bytes = BODY,
) -> bytes:
    return Reader(sampled=True).read(tenant, upstream, origin, b"POST", path, headers, body)[0]


def test_every_part_counts() -> None:
    others = [
        key(tenant=tenant_of("vk_2")),
        key(upstream="up2"),
        key(origin="o2"),
        key(upstream="upo", origin=""),
        key(path=b"/chat/completions?v=2"),
        key(path=b"/completions"),
        key(headers=HEADERS[:1]),
        key(headers=[*HEADERS, (b"x-unknown", b"1")]),
        key(headers=[*HEADERS, (b"authorization", b"Bearer a")]),
        key(headers=[*HEADERS, (b"api-key", b"a")]),
        key(body=BODY + b" "),
    ]
    assert len({key(), *others}) == 1 + len(others)
    assert key().startswith(TENANT)


def test_noise_and_order_do_not() -> None:
    noisy = [(b"x-stainless-retry-count", b"1"), (b"user-agent", b"x"), (b"x-freehold-task", b"t"), *HEADERS[::-1]]
    assert key(headers=noisy) == key()
    mine = [*HEADERS, (b"x-correlation-id", b"77")]
    assert Reader(sampled=True, ignored=["X-Correlation-Id"]).read(
        TENANT, "up", "o", b"POST", b"/chat/completions", mine, BODY
    ) == (key(), Wish())


_bytes = st.binary(max_size=4)
_headers = st.lists(st.tuples(_bytes.filter(lambda name: name not in NOISE), _bytes), max_size=3)


@given(_headers, _headers, _bytes, _bytes)
def test_nothing_runs_together(one: Headers, other: Headers, body: bytes, other_body: bytes) -> None:
    """Bytes moved from a name to a value, or from a header to the body, make another key."""
    reader = Reader(sampled=True)
    a = reader.read(TENANT, "u", "o", b"POST", b"/completions", one, body)[0]
    b = reader.read(TENANT, "u", "o", b"POST", b"/completions", other, other_body)[0]
    assert (a == b) == (sorted(one) == sorted(other) and body == other_body)


def test_tenants_are_apart() -> None:
    callers = [tenant_of("a"), tenant_of(None, b"a"), tenant_of(None, None, b"a"), tenant_of(None), tenant_of("None")]
    assert len(set(callers)) == len(callers)
    assert all(len(tenant) == 16 for tenant in callers)


@pytest.mark.parametrize(
    ("control", "wish"),
    [
        (b"No-Store", Wish(look=False, keep=False)),
        (b"no-cache", Wish(look=False)),
        (b"no-cache, max-age=5", Wish(look=False)),
        (b"max-age=5, no-cache", Wish(look=False)),
        (b"no-cache, no-store", Wish(look=False, keep=False)),
        (b"max-age=60", Wish(max_age=60.0)),
        (b"max-age=-1, max-age=x, private", Wish()),
    ],
)
def test_what_callers_may_ask(control: bytes, wish: Wish) -> None:
    assert wish_of(control) == wish


@pytest.mark.parametrize(
    ("sampled", "path", "body", "cached"),
    [
        (True, b"/chat/completions", BODY, True),
        (True, b"/chat/completions?x=1", BODY, True),
        (True, b"/files", BODY, False),
        (True, b"/responses", b'{"store":false}', True),
        (True, b"/responses", b"{}", False),
        (True, b"/responses", b'{"store":false,"conversation":"c"}', False),
        (True, b"/responses", b'{"store":false,"background":true}', False),
        (True, b"/responses", b"not JSON", False),
        (False, b"/chat/completions", BODY, False),
        (False, b"/chat/completions", b'{"temperature":0}', True),
        (False, b"/chat/completions", b'{"temperature":0.1}', False),
        (False, b"/embeddings", b"{}", True),
        (False, b"/responses", b'{"store":false,"temperature":0}', True),
    ],
)
def test_which_requests(sampled: bool, path: bytes, body: bytes, cached: bool) -> None:
    found, _ = Reader(sampled=sampled).read(TENANT, "up", "o", b"POST", path, HEADERS, body)
    assert bool(found) == cached
    assert Reader(sampled=sampled).read(TENANT, "up", "o", b"GET", path, HEADERS, body)[0] == b""
