"""One test per class of attack that has hit gateways of this kind, against the running process."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from attack_fixtures import KEY, PROVIDER_KEY, Target, auth
from waiting import wait_for
from wire import Wire, body_for, chunk, get, new_nonce, post

SRC = Path(__file__).parents[2] / "src" / "freehold"
CHAT = "/v1/chat/completions"


# SSRF: the caller chooses no address.

ADDRESS_FIELDS = ["api_base", "base_url", "api_url", "endpoint", "proxy", "azure_endpoint", "callback_url", "webhook"]
ADDRESS_HEADERS = [
    "host",
    "forwarded",
    "x-forwarded-host",
    "x-original-url",
    "x-api-base",
    "x-upstream",
    "x-freehold-upstream",
    "x-litellm-api-base",
    "x-portkey-custom-host",
    "helicone-target-url",
    "proxy",
    "referer",
]


def test_no_field_or_header_chooses_an_address(target: Target) -> None:
    there = target.canary.base_url("canary")
    for field in ADDRESS_FIELDS:
        body = json.loads(body_for("good", new_nonce())) | {field: there, "extra_body": {field: there}}
        assert target.ask(post(json.dumps(body).encode(), **auth())).status == 200
        assert json.loads(target.upstream.asked["good"][-1].body) == body  # passed on untouched, and not obeyed
    for header in ADDRESS_HEADERS:
        for value in (there, there.removeprefix("http://").partition("/")[0]):
            request = post(body_for("good", new_nonce()), **{**auth(), header: value})
            assert target.ask(request).status in (200, 400)
    assert target.canary.connections.total() == 0


def test_no_target_or_path_chooses_an_address(target: Target) -> None:
    there = target.canary.base_url("canary").removesuffix("/v1")
    name = there.removeprefix("http://")
    for path in (
        there + CHAT,
        f"/v1/{there}",
        f"/v1//{name}{CHAT}",
        f"/v1/@{name}{CHAT}",
        f"/v1/..//{name}{CHAT}",
        f"/v1?url={there}",
        f"/v1/\\\\{name}",
        f"//{name}{CHAT}",
        f"@{name}{CHAT}",
    ):
        for model in ("good", there, f"openai/{there}"):
            assert target.ask(post(body_for(model, new_nonce()), path, **auth())).status in (200, 400, 404, 405), path
    assert target.canary.connections.total() == 0


def test_redirects_are_passed_on_and_not_followed(target: Target) -> None:
    answer = target.ask(post(body_for("redirects", new_nonce()), **auth()))
    assert answer.status == 307 and "/canary/" in answer.headers["location"]
    assert target.canary.connections.total() == 0


# The key: nothing is looked at before it, nothing gets around it.

SPELLINGS = [
    "/v1/models",
    "//v1/models",
    "/V1/models",
    "/v1/./models",
    "/v1//models",
    "/v1/x/../models",
    "/healthz/../v1/models",
    "/metrics/..;/v1/models",
    "/healthz%2f..%2fv1%2fmodels",
    "/%76%31/models",
    "/v1/%6dodels",
    "/v1/models/",
    "/v1/models?path=/healthz",
    "/v1/models#/healthz",
    "/v1/models;/healthz",
    "/v1/models%00/healthz",
    "/v1/models%20",
    "/healthz?/../v1/models",
    "http://localhost/v1/models",
    "http://localhost/healthz/../v1/models",
    "/v1/feedback",
    CHAT,
    "/v1/chat/completions/",
    "/v1/chat/completions%2f",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/files",
    "/admin/v1/keys",
    "/v1/admin/keys",
]
CLAIMS: list[dict[str, str]] = [
    {},
    {"host": "127.0.0.1"},
    {"host": "localhost:8484", "x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "forwarded": "for=127.0.0.1"},
    {"x-original-url": "/healthz", "x-rewrite-url": "/healthz", "x-forwarded-prefix": "/healthz"},
    {"x-http-method-override": "GET", "x-forwarded-user": "admin", "x-freehold-key": "admin"},
]


def test_no_spelling_of_a_path_gets_around_the_key(target: Target) -> None:
    before = target.asked
    for path in SPELLINGS:
        for claims in CLAIMS:
            for request in (get(path, **claims), post(body_for("good", "bypass"), path, **claims)):
                answer = target.ask(request)
                health = path.startswith("/healthz?") and answer.body == b'{"status":"ok"}'
                assert health or answer.status in (400, 401, 404, 405), (path, claims, answer)
                assert b'"good"' not in answer.body
    assert target.asked == before


WRONG_KEYS = [
    "",
    "Bearer",
    "Bearer ",
    f"Bearer {KEY[:-1]}",
    f"Bearer {KEY}x",
    f"Bearer {KEY.upper()}",
    f"Bearer  {KEY}  {KEY}",
    "Bearer *",
    "Bearer sk-*",
    "Bearer null",
    "Bearer true",
    f"Basic {base64.b64encode(f'x:{KEY}'.encode()).decode()}",
    f"Digest {KEY}",
    f"Bearer {PROVIDER_KEY}",
    "Bearer ' OR '1'='1' --",
    'Bearer "; DROP TABLE keys; --',
    "Bearer %00",
    "Bearer " + "a" * 20_000,
    "Bearer \xff\xfe",
]


@pytest.mark.parametrize("given", WRONG_KEYS)
def test_only_the_key_is_the_key(target: Target, given: str) -> None:
    before = target.asked
    headers = {"authorization": given} if given else {}
    answer = target.ask(post(body_for("good", new_nonce()), **headers))
    assert answer.status in (400, 401) and KEY.encode() not in answer.body
    assert len(given) < 20 or given[7:20].encode("latin-1") not in answer.body
    assert target.asked == before


def test_the_key_is_asked_for_before_anything_is_read(target: Target) -> None:
    """Neither a body that never comes nor one that cannot be parsed is waited for or looked at."""
    with Wire(target.url, timeout=5) as wire:
        head = post(b"", content_type="application/json").replace(b"content-length: 0", b"content-length: 1000000")
        assert wire.ask(head).status == 401
    for body in (b"{", b"[" * 100_000, gzip.compress(bytes(1_000_000)), b"\xff"):
        assert target.ask(post(body)).status == 401


def test_a_key_in_the_address_is_none_and_is_kept_nowhere(target: Target) -> None:
    """Addresses end up in logs and histories; the fixture looks for the key in everything that was written."""
    before = target.asked
    for name in ("api_key", "key", "token", "access_token", "authorization", "api-key"):
        assert target.ask(post(body_for("good", new_nonce()), f"{CHAT}?{name}={KEY}")).status == 401
        assert target.ask(get(f"/v1/models?{name}=Bearer%20{KEY}")).status == 401
        assert target.ask(get("/v1/models", cookie=f"{name}={KEY}")).status == 401
    assert target.asked == before


def test_the_gateways_key_goes_nowhere_and_the_providers_key_only_there(target: Target) -> None:
    answer = target.ask(post(body_for("good", new_nonce()), **auth(), x_api_key=KEY))
    sent = target.upstream.asked["good"][-1]
    assert sent.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert KEY not in str(sent.headers) and KEY.encode() not in sent.body
    assert PROVIDER_KEY not in str(answer.headers) and PROVIDER_KEY.encode() not in answer.body
    for path in ("/healthz", "/readyz", "/metrics", "/v1/models"):
        assert not any(key.encode() in target.ask(get(path, **auth())).body for key in (KEY, PROVIDER_KEY))


SECRET_NAME = re.compile(
    r"(^|_)(secret|token|digest|password|passwd|pepper|signature|credential|given|api_?key)s?($|_)"
)


def _modules(*rooms: str) -> Iterator[tuple[Path, ast.Module]]:
    for room in rooms:
        for path in sorted((SRC / room).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def test_secrets_are_never_compared_by_the_equals_sign() -> None:
    """`==` ends at the first byte that differs, and how long it took tells where; `hmac.compare_digest` does not."""
    compared = found = 0
    for path, tree in _modules("gateway", "dashboard", "access"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                compared += 1
                names = [_name(side) for side in (node.left, *node.comparators)]
                assert not any(SECRET_NAME.search(name) for name in names), f"{path}:{node.lineno}: {ast.unparse(node)}"
            found += isinstance(node, ast.Call) and _name(node.func) == "compare_digest"
    assert compared > 20 and found >= 2  # the test looks at what it should


# Commands and code: there is no way from a request to a shell, a pickle or an evaluation.

RUNS = {"subprocess", "pty", "pickle", "marshal", "shelve", "code", "runpy"}
EVALUATES = {"eval", "exec", "compile", "__import__", "system", "popen", "spawnv", "execv", "from_string"}


def test_no_endpoint_can_run_a_command(target: Target, tmp_path: Path) -> None:
    for path, tree in _modules("gateway", "dashboard", "access", "route", "record", "upstreams"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                roots = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
                module = (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else ""
                assert not ({*roots, module} & RUNS), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and _name(node.func) in EVALUATES:
                own = isinstance(node.func, ast.Attribute) and _name(node.func.value) in ("re", "regex")
                assert own, f"{path}:{node.lineno}: {ast.unparse(node)}"
    marker = tmp_path / "marker"
    for text in (
        f"$(touch {marker})",
        f"`touch {marker}`",
        f"; touch {marker} #",
        f"| touch {marker}",
        f"\n!touch {marker}",
    ):
        body = json.loads(body_for("good", text)) | {"command": text, "scorer": {"kind": "command", "run": text}}
        headers = {"x-freehold-task": text.replace("\n", " "), **auth()}
        assert target.ask(post(json.dumps(body).encode(), **headers)).status == 200
        feedback = {"trace_id": "tr_0123456789abcdef", "label": text, "comment": text, "edit": text}
        assert target.ask(post(json.dumps(feedback).encode(), "/v1/feedback", **auth())).status in (200, 404)
        for path in ("/test", "/v1/test", "/health/test", "/mcp/test", "/v1/scorers", "/guardrails/test"):
            target.ask(post(json.dumps({"command": text}).encode(), path, **auth()))
    assert not marker.exists()


# Bodies that grow when they are read.


def bomb() -> bytes:
    """2 GB of blanks in 2 MB; made in pieces."""
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return b"".join([*(packer.compress(bytes(1 << 24)) for _ in range(128)), packer.flush()])


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/files", "/v1/feedback"])
def test_compressed_bodies_are_not_unpacked(target: Target, path: str) -> None:
    gz = gzip.compress(gzip.compress(bytes(100_000_000), 1), 9)
    memory = target.gateway.memory_mb()
    for coding, body in (("gzip", gz), ("zstd", bomb()), ("gzip, gzip", gz), ("deflate", gz), ("br", gz)):
        assert len(body) < 2_000_000
        answer = target.ask(post(body, path, **auth(), content_encoding=coding, accept_encoding=coding))
        assert answer.status in (200, 400, 404, 415), answer
    assert target.gateway.memory_mb() - memory < 20


def test_forms_of_many_parts_are_not_taken_apart(target: Target) -> None:
    part = b'--x\r\ncontent-disposition: form-data; name="a"; filename="../../etc/passwd"\r\n\r\n\r\n'
    body = part * 20_000 + b"--x--\r\n"
    assert len(body) < 2_000_000
    for length in (body, b"--" + b"x" * 1_900_000, part * 100):  # none of them ends as it should but the first
        request = post(length, "/v1/files?model=good", **auth()).replace(
            b"application/json", b"multipart/form-data; boundary=x"
        )
        began = time.monotonic()
        assert target.ask(request).status in (200, 400, 404)
        assert time.monotonic() - began < 2
    answer = target.ask(post(part * 30_000, "/v1/files", **auth()))
    assert answer.status == 413


@pytest.mark.parametrize(
    "filling",
    [
        b'{"model":"good","messages":' + b"[" * 900_000,
        b'{"model":"good","messages":' + b'{"a":' * 300_000,
        b'{"model":"good","n":' + b"9" * 1_500_000 + b"}",
        b'{"model":"good","n":1e' + b"9" * 1_500_000 + b"}",
        b'{"model":"good","user":"' + b"\\ud800" * 300_000 + b'"}',
        b'{"model":"good",' + b'"a":1,' * 300_000 + b'"a":1}',
        b'{"model":"good","messages":[' + b'{"role":"user","content":""},' * 60_000 + b'{"role":"user","content":""}]}',
        b'{"model":"good","messages":[{"role":"user","content":"' + b"a" * 1_900_000 + b'!"}]}',
        b'{"model":"good","messages":[{"role":"user","content":"' + b"1 " * 900_000 + b'"}]}',
    ],
    ids=["depth", "objects", "digits", "exponent", "surrogates", "keys", "messages", "text", "words"],
)
def test_documents_made_to_be_slow_hold_up_nobody(target: Target, filling: bytes) -> None:
    assert len(filling) < 2_000_000
    with Wire(target.url) as wire:
        began = time.monotonic()
        wire.send(post(filling, **auth()))
        assert target.ask(post(body_for("good", new_nonce()), **auth())).status == 200
        assert wire.answer().status in (200, 400)
        assert time.monotonic() - began < 3


# Logs.


def test_nobody_writes_lines_into_the_log(target: Target) -> None:
    """Every line is one JSON document of our own: what callers send cannot end it, nor colour a terminal."""
    forged = '{"event": "forged", "level": "info"}'
    for text in (
        f"x\\r\\n{forged}",
        f"x%0d%0a{forged}",
        f"\x1b[2J\x1b]0;{forged}\x07",
        f"x\x85{forged}",
        f"x\xe2\x80\xa8{forged}",
    ):
        for headers in ({"x-freehold-task": text}, {"user-agent": text}, {"host": text}, {"x-request-id": text}):
            target.ask(post(body_for("unknown", text), "/v1/x", **{**auth(), **headers}))
            target.ask(post(body_for(text, text), **headers))
        target.ask(get("/v1/" + text.replace(" ", "%20"), **auth()))
        target.ask(post(body_for(f"x\r\n{forged}", f"\r\n{forged}"), **auth()))
    target.ask(b"\r\n" + forged.encode() + b"\r\n\r\n")
    prompt = new_nonce()
    target.ask(post(body_for("good", new_nonce(), prompt=prompt), **auth()))
    lines = wait_for(lambda: (found := target.gateway.log.read_text()).endswith("\n") and found.splitlines())
    assert len(lines) > 20  # the log has a line for each request
    for line in lines:
        assert line.startswith("{") and json.loads(line)["event"] != "forged"
        assert line.isprintable() and prompt not in line


# Answers that upstreams make, headers that callers make.


def test_headers_cannot_be_split(target: Target) -> None:
    """What is echoed into a header of the answer is echoed as one value, or not at all."""
    for task in ("a\\r\\nset-cookie: x=1", "a%0d%0aset-cookie: x=1", "a\x0bset-cookie: x=1", "caf\xe9", "x" * 5000):
        answer = target.ask(post(body_for("good", new_nonce()), **auth(), x_freehold_task=task))
        assert answer.status in (200, 400) and "set-cookie" not in answer.headers
        assert all(value.isprintable() for value in answer.headers.values())
    body = json.dumps({"model": "good", "metadata": {"task": "a\r\nset-cookie: x=1"}, "messages": []}).encode()
    assert "set-cookie" not in target.ask(post(body, **auth())).headers
    body = body_for("no\r\nset-cookie: x=1", new_nonce())
    assert "set-cookie" not in target.ask(post(body, **auth())).headers


def test_chunked_uploads_are_bounded_too(target: Target) -> None:
    head = get("/", **auth(), transfer_encoding="chunked").replace(b"GET /", f"POST {CHAT}".encode())
    with Wire(target.url) as wire:
        try:
            wire.send(head)
            for _ in range(100):
                wire.send(chunk(b" " * 65536))
        except OSError:
            return  # refused and closed while we wrote
        assert wire.answer().status == 413
