"""Attacks on virtual keys and the admin API, against the running process."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from chaos import Chaos, Script, plain, says, well_behaved
from gateway_process import GatewayProcess, configure
from waiting import wait_for
from wire import Answer, ask, body_for, get, new_nonce, post

ADMIN_KEY = "adm-5ecret-of-the-admin"
OWN_KEY = "gw-5ecret-of-the-gateway"
SQL = ["' OR '1'='1", "'; DROP TABLE keys; --", '" OR 1=1 --', "') UNION SELECT * FROM virtual_keys --", "%' --", "\\"]


def claims(tokens: int) -> Script:
    """Answers that so many tokens were used."""
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": 2 * tokens}
    answer = json.dumps({"id": "x", "object": "chat.completion", "choices": [], "usage": usage}).encode()
    return says(plain(answer))


SCRIPTS = {"good": well_behaved, "other": well_behaved, "negative": claims(-10_000_000), "dear": claims(4500)}


class Tenants(NamedTuple):
    """A gateway with virtual keys, and what is done to it."""

    gateway: GatewayProcess
    upstream: Chaos

    def ask(self, request: bytes) -> Answer:
        return ask(self.gateway.url, request)

    def admin(self, method: str, path: str, document: object = None, key: str = ADMIN_KEY) -> tuple[int, Any]:
        body = b"" if document is None else json.dumps(document).encode()
        request = post(body, f"/admin/v1/{path}", authorization=f"Bearer {key}").replace(b"POST", method.encode(), 1)
        answer = self.ask(request)
        return answer.status, json.loads(answer.body)

    def new_key(self, **fields: object) -> tuple[str, str]:
        """A key's text and id; it is in force when this returns."""
        status, made = self.admin("POST", "keys", {"name": new_nonce(), **fields})
        assert status == 201, made
        wait_for(lambda: self.ask(get("/v1/models", authorization=f"Bearer {made['key']}")).status != 401)
        return made["key"], made["key_id"]

    def chat(self, key: str, model: str = "good", **headers: str) -> int:
        return self.ask(post(body_for(model, new_nonce()), authorization=f"Bearer {key}", **headers)).status


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    folder: Path = tmp_path_factory.mktemp("keys")
    with Chaos(SCRIPTS) as upstream:
        urls = {name: upstream.base_url(name) for name in SCRIPTS}
        configure(folder, urls, gateway='api_key_env = "OWN_KEY"', api_key_env="PROVIDER_KEY")
        config = folder / "freehold.toml"
        config.write_text(config.read_text() + '\n[access]\nadmin_key_env = "ADMIN_KEY"\nrequired = true\n')
        env = {"OWN_KEY": OWN_KEY, "ADMIN_KEY": ADMIN_KEY, "PROVIDER_KEY": "sk-provider"}
        with GatewayProcess(folder, env=env) as process:
            yield Tenants(process, upstream)
        assert "Traceback" not in process.log.read_text()


def test_sql_in_keys_names_and_paths_is_only_text(tenants: Tenants) -> None:
    key, key_id = tenants.new_key()
    before = tenants.admin("GET", "keys")
    for text in SQL:
        assert tenants.chat(text) in (400, 401)
        assert tenants.chat(key + text) == 401
        assert tenants.ask(get("/v1/models", x_api_key=text)).status in (400, 401)
        for path in (f"keys/{text}", f"keys/{key_id}{text}", f"teams/{text}"):
            assert tenants.admin("GET", path.replace(" ", "%20").replace('"', "%22"))[0] in (400, 404)
            assert tenants.admin("DELETE", path.replace(" ", "%20").replace('"', "%22"))[0] in (400, 404)
        assert tenants.admin("GET", f"usage?by={text.replace(' ', '%20')}")[0] == 400
    assert tenants.admin("GET", "keys") == before
    made = [tenants.admin("POST", "keys", {"name": f"x {text}", "models": [text]}) for text in SQL]
    assert {status for status, _ in made} <= {201, 400}
    listed = {row["name"] for row in tenants.admin("GET", "keys")[1]["data"]}
    assert {document["name"] for status, document in made if status == 201} <= listed
    assert tenants.chat(key) == 200


def test_nobody_mints_keys_but_the_admin(tenants: Tenants) -> None:
    key, key_id = tenants.new_key(models=["good"])
    before = tenants.admin("GET", "keys")
    wildcard = {"name": "mine", "models": ["*"], "tasks": ["*"], "admin": True}
    for other in (key, OWN_KEY, "", "*", "fh-*", ADMIN_KEY[:-1], f"{ADMIN_KEY} "[:-2], key_id, "null"):
        for method, path in (
            ("POST", "keys"),
            ("PATCH", f"keys/{key_id}"),
            ("DELETE", f"keys/{key_id}"),
            ("POST", f"keys/{key_id}/rotate"),
            ("GET", "keys"),
            ("GET", "usage"),
            ("POST", "teams"),
            ("GET", "nothing-like-it"),
        ):
            status, answer = tenants.admin(method, path, wildcard if method in ("POST", "PATCH") else None, other)
            assert status in (400, 401), (other, method, path)
            assert "data" not in answer and "key" not in answer
    for path in ("//admin/v1/keys", "/admin/v1//keys", "/Admin/v1/keys", "/admin/v1/keys/", "/admin%2fv1%2fkeys"):
        answer = tenants.ask(post(json.dumps(wildcard).encode(), path, authorization=f"Bearer {key}"))
        assert answer.status in (400, 401, 404, 405), path
    assert tenants.admin("GET", "keys") == before
    for guess in ("fh-*", "*", "fh-", key[:8], key[:-1], key.upper(), key + "*", f"{key}\x00"[:-1] + "%"):
        assert tenants.chat(guess) in (400, 401), guess


def test_the_admins_key_asks_no_models_and_is_kept_from_upstreams(tenants: Tenants) -> None:
    before = sum(map(len, tenants.upstream.asked.values()))
    assert tenants.chat(ADMIN_KEY) == 401
    assert sum(map(len, tenants.upstream.asked.values())) == before


HIDDEN_MODELS = [
    b'{"model":"other","messages":[]}',
    b'{"model":"good","model":"other","messages":[]}',
    b'{"model":"good","mod\\u0065l":"other","messages":[]}',
    b'{"mod\\u0065l":"other","messages":[]}',
    b'{"model":"good","\\u006dodel":"\\u006fther","messages":[]}',
    b'{"model":"Good","messages":[]}',
    b'{"model":"good ","messages":[]}',
    b'{"model":"good\\u0000","messages":[]}',
    b'{"model":["good"],"messages":[]}',
    b'{"model":{"good":1},"messages":[]}',
    b'{"model":null,"messages":[]}',
    b'{"model":"good*","messages":[]}',
    b'{"messages":[]}',
    b'[{"model":"other"}]',
    b"\xef\xbb\xbf" + b'{"model":"other","messages":[]}',
    gzip.compress(b'{"model":"other","messages":[]}', mtime=0),
    b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nother\r\n--x--\r\n',
    b"model=other",
    b"",
]
TYPES = ["application/json", "multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded"]


@pytest.mark.parametrize(
    "path", ["chat/completions", "completions", "embeddings", "responses", "messages", "audio/speech"]
)
def test_a_key_for_one_model_asks_no_other(tenants: Tenants, path: str) -> None:
    """However the model is written or hidden: what the gateway does not know to be allowed is refused."""
    key, _ = tenants.new_key(models=["good"])
    before = {name: len(asked) for name, asked in tenants.upstream.asked.items()}
    for body in HIDDEN_MODELS:
        for kind in TYPES:
            coding = {"content_encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
            request = post(body, f"/v1/{path}", authorization=f"Bearer {key}", x_model="good", **coding)
            answer = tenants.ask(request.replace(b"application/json", kind.encode()))
            assert answer.status in (400, 403, 404, 415), (body, kind, answer)
    assert {name: len(asked) for name, asked in tenants.upstream.asked.items()} == before
    assert tenants.chat(key) == 200 and tenants.chat(key, "other") == 403


KEPT_FOR_ALL = [
    ("GET", "files"),
    ("GET", "files/file-abc/content"),
    ("DELETE", "files/file-abc"),
    ("POST", "files"),
    ("GET", "//files"),
    ("GET", "./files"),
    ("GET", "%66iles"),
    ("GET", "Files"),
    ("GET", "files;x=1"),
    ("GET", "files?model=good"),
    ("GET", "\\\\files"),
    ("GET", "v1/files"),
    ("GET", "batches"),
    ("GET", "messages/batches"),
    ("GET", "fine_tuning/jobs"),
    ("GET", "organization/admin_api_keys"),
    ("GET", "threads/thread_abc/messages"),
    ("GET", "vector_stores"),
    ("GET", "chat/completions"),
    ("GET", "chat/completions/chatcmpl-abc/messages"),
    ("DELETE", "models/good"),
    ("GET", "responses"),
]


@pytest.mark.parametrize(("method", "path"), KEPT_FOR_ALL)
def test_tenants_do_not_see_each_others_files_and_threads(tenants: Tenants, method: str, path: str) -> None:
    """At the provider all virtual keys are one: what it keeps is for holders of the gateway's own key."""
    keys = [tenants.new_key()[0], tenants.new_key(models=["good"])[0]]
    before = sum(map(len, tenants.upstream.asked.values()))
    for key in keys:
        request = get(f"/v1/{path}", authorization=f"Bearer {key}").replace(b"GET", method.encode(), 1)
        assert tenants.ask(request).status in (400, 403, 404)
    assert sum(map(len, tenants.upstream.asked.values())) == before


def test_the_gateways_own_key_reaches_all_that_the_provider_keeps(tenants: Tenants) -> None:
    for path in ("models/good", "files?model=good"):
        assert tenants.ask(get(f"/v1/{path}", authorization=f"Bearer {OWN_KEY}")).status in (200, 404)
    key, _ = tenants.new_key()
    assert tenants.ask(get("/v1/models/good", authorization=f"Bearer {key}")).status == 200


def test_a_key_ends_when_it_is_revoked(tenants: Tenants) -> None:
    key, key_id = tenants.new_key()
    assert tenants.chat(key) == 200
    assert tenants.admin("DELETE", f"keys/{key_id}")[0] == 200
    wait_for(lambda: tenants.chat(key) == 401, 2.5, "the revocation is in force")
    assert tenants.admin("PATCH", f"keys/{key_id}", {"name": "again"})[0] in (200, 400, 404, 409)
    assert tenants.chat(key) == 401


@pytest.mark.parametrize("model", ["good", "negative"])
def test_limits_cannot_be_filled_up_from_outside(tenants: Tenants, model: str) -> None:
    """Neither negative or absurd estimates in requests nor negative counts in answers give anything back."""
    key, _ = tenants.new_key(tokens_per_minute=20_000)
    base = json.loads(body_for(model, new_nonce()))
    for field in ("max_tokens", "max_completion_tokens", "n", "max_output_tokens"):
        for value in (-1_000_000_000, -1, 0, 1e300, -1e300, "9", None, [], 2**63, -(2**63), True, 0.5):
            body = json.dumps(base | {field: value}).encode()
            assert tenants.ask(post(body, authorization=f"Bearer {key}")).status in (200, 400, 429)
    statuses = [tenants.chat(key, "dear") for _ in range(8)]  # 72,000 tokens, in at most two of the minutes
    assert 429 in statuses


def test_a_keys_text_is_kept_nowhere(tenants: Tenants) -> None:
    key, _ = tenants.new_key(models=["good"], requests_per_minute=1000)
    for headers in ({"authorization": f"Bearer {key}"}, {"x_api_key": key}, {"authorization": f"Bearer {key}x"}):
        tenants.ask(post(body_for("good", new_nonce()), **headers))
        answer = tenants.ask(post(body_for("other", new_nonce()), **headers))
        assert answer.status in (401, 403) and key.encode() not in answer.body
    for asked in (asked for requests in tenants.upstream.asked.values() for asked in requests):
        assert key not in str(asked.headers)
    for path in ("keys", "usage", "teams"):
        assert key not in json.dumps(tenants.admin("GET", path))
    for secret in (key, ADMIN_KEY, OWN_KEY):
        assert secret not in tenants.gateway.log.read_text()
        for path in (path for path in tenants.gateway.data.rglob("*") if path.is_file()):
            assert secret.encode() not in path.read_bytes(), path
