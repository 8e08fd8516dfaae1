"""Fallbacks from upstream to upstream: whom they ask, for which model, and with whose key."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import TranslationError, UpstreamError, UpstreamProtocolError, UpstreamUnreachable
from freehold.upstreams.base import Headers, Sink, UpstreamRequest
from freehold.upstreams.directory import Entry, UpstreamDirectory
from freehold.upstreams.health import Health
from freehold.upstreams.model_field import with_model
from freehold.upstreams.reading import Answer

BODY = b'{ "messages": [{"model": "not me"}],\n "model" : "big", "n":1}'
KEYS = (b"Bearer theirs", b"theirs")


class Scripted:
    """An upstream that notes what it is asked; the test answers through `sinks`."""

    protocol = "openai"

    def __init__(self, name: str, origin: str = "https://a", *, refuses: bool = False) -> None:
        self.name, self.origin, self._refuses = name, origin, refuses
        self.sinks: list[Sink] = []
        self.asked: list[tuple[bytes, bytes | None, bytes | None]] = []
        self.calls: list[str] = []

    def start(self, request: UpstreamRequest, sink: Sink) -> Scripted:
        if self._refuses:
            raise TranslationError("It has no such field.", "Leave it out.")
        self.asked.append((request.body, request.authorization, request.api_key))
        self.sinks.append(sink)
        return self

    def answer(self, status: int, body: bytes = b"", *, last: bool = True) -> None:
        self.sinks[-1].begin(self.name, status, [])
        self.sinks[-1].data(body, last)

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def cancel(self) -> None:
        self.calls.append("cancel")

    async def send(self, request: UpstreamRequest) -> Answer:
        raise NotImplementedError

    async def retire(self) -> None: ...

    async def aclose(self) -> None: ...

    def health(self) -> list[Health]:
        return [Health(self.name, self.origin, "closed", 0, 0, 0, "", 0.0)]


class Heard:
    """A sink's memory."""

    def __init__(self) -> None:
        self.all: list[object] = []

    def begin(self, upstream: str, status: int, headers: Headers) -> None:
        self.all += [upstream, status]

    def data(self, chunk: bytes, last: bool) -> None:
        self.all.append((chunk, last))

    def fail(self, error: UpstreamError) -> None:
        self.all.append(str(error))


def asked() -> UpstreamRequest:
    return UpstreamRequest(
        method=b"POST", path=b"/chat/completions", headers=[], body=BODY, authorization=KEYS[0], api_key=KEYS[1]
    )


def directory(*fallbacks: Scripted, models: tuple[str, ...] = ()) -> tuple[UpstreamDirectory, Scripted]:
    first = Scripted("first")
    named = [(each.name, model) for each, model in zip(fallbacks, models or ("",) * len(fallbacks), strict=True)]
    return UpstreamDirectory([Entry(first, ["big"], named), *(Entry(each, [each.name]) for each in fallbacks)]), first


def test_the_next_is_asked_with_its_own_model_and_no_key_of_another_origin() -> None:
    near, far = Scripted("near"), Scripted("far", "https://b")
    found, first = directory(near, far, models=("", 'sm"all'))
    heard, request = Heard(), asked()
    call = found.start("first", request, heard)
    first.answer(429, b"whole")
    near.answer(503, b"par", last=False)
    call.pause()
    far.answer(200, b"ok")
    assert heard.all == ["far", 200, (b"ok", True)]
    assert first.asked == near.asked == [(BODY, *KEYS)]
    assert far.asked == [(BODY.replace(b'"big"', b'"sm\\"all"'), None, None)] and request.asked_model == 'sm"all'
    assert (first.calls, near.calls, far.calls) == ([], ["cancel"], ["pause"]), "what came whole is not cut"


def test_the_last_ones_answer_or_error_stands() -> None:
    for last in ("answer", "error"):
        other = Scripted("other")
        found, first = directory(other)
        heard = Heard()
        found.start("first", asked(), heard)
        first.sinks[0].fail(UpstreamUnreachable("Nobody there.", ""))
        if last == "answer":
            other.answer(502, b"mine")
            assert heard.all == ["other", 502, (b"mine", True)]
        else:
            other.sinks[0].fail(UpstreamProtocolError("Broke off.", ""))
            assert heard.all == ["Broke off."]


def test_what_has_begun_is_not_asked_for_elsewhere() -> None:
    other = Scripted("other")
    found, first = directory(other)
    heard = Heard()
    call = found.start("first", asked(), heard)
    first.answer(200, b"half", last=False)
    first.sinks[0].fail(UpstreamProtocolError("Broke off.", ""))
    assert heard.all == ["first", 200, (b"half", False), "Broke off."] and other.asked == []
    call.cancel()


def test_a_fallback_that_cannot_say_it_is_passed_over() -> None:
    mute, other = Scripted("mute", refuses=True), Scripted("other")
    found, first = directory(mute, other)
    heard, request = Heard(), asked()
    found.start("first", request, heard)
    first.answer(503)
    other.answer(200, b"ok")
    assert heard.all == ["other", 200, (b"ok", True)] and "mute: not_translatable" in request.attempts
    alone, first = directory(Scripted("mute", refuses=True))
    heard = Heard()
    alone.start("first", asked(), heard)
    first.answer(503)
    assert len(heard.all) == 1 and "no such field" in str(heard.all[0])
    with pytest.raises(TranslationError):
        UpstreamDirectory([Entry(Scripted("mute", refuses=True))]).start("mute", asked(), Heard())


def test_nothing_is_asked_after_a_cancel() -> None:
    other = Scripted("other")
    found, first = directory(other)
    heard = Heard()
    found.start("first", asked(), heard).cancel()
    assert first.calls == ["cancel"] and heard.all == [] and other.asked == []


def test_a_coroutine_reads_what_is_pushed_and_slows_it_down() -> None:
    async def run() -> None:
        found, first = directory()
        sending = asyncio.ensure_future(found.send("first", asked()))
        await asyncio.sleep(0)
        first.answer(200, b"a" * 200_000, last=False)
        name, answer = await sending
        assert (name, answer.status, answer.at_end) == ("first", 200, False)
        first.sinks[0].data(b"b" * 200_000, False)
        assert first.calls == ["pause"]
        assert len(await answer.read()) == 400_000 and first.calls == ["pause", "resume"]
        reading = asyncio.ensure_future(answer.read())
        await asyncio.sleep(0)
        first.sinks[0].fail(UpstreamProtocolError("Broke off.", ""))
        with pytest.raises(UpstreamProtocolError):
            await reading
        leaving = asyncio.ensure_future(found.send("first", asked()))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert first.calls[2:] == ["cancel"]

    asyncio.run(run())


def test_health_is_told_of_all() -> None:
    found, _ = directory(Scripted("other"))
    assert [health.upstream for health in found.health()] == ["first", "other"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(['"model"', "model", "{", "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "a", ":"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["model", "messages", "x", '"']), json_values, max_size=4),
    st.text(max_size=8),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
def test_only_the_outermost_model_is_named_anew(
    document: dict[str, object], model: str, indent: int, plain: bool
) -> None:
    body = json.dumps(document, indent=indent, ensure_ascii=plain).encode()
    named = with_model(body, model)
    expected = {**document, "model": model} if isinstance(document.get("model"), str) else document
    assert json.loads(named) == expected
    if not isinstance(document.get("model"), str):
        assert named == body


def test_bodies_that_are_no_objects_or_odd_stay_as_they_are() -> None:
    for body in (b"", b"[1]", b'"model"', b'["model", "x"]', b"\xff\x00", b'{"a": {"model": "x"}}', b'{"model": 1}'):
        assert with_model(body, "m") == body
    assert with_model(b'{"mod\\u0065l":"x","model":"y"}', "m") == b'{"mod\\u0065l":"m","model":"m"}'
    big = b'{"image":"' + b"A" * 2_000_000 + b'\\"","model":"x"}'
    assert with_model(big, "m") == big.replace(b'"x"', b'"m"')


def test_who_wants_to_know_what_one_model_says_gets_no_other() -> None:
    async def run() -> None:
        other, same = Scripted("other"), Scripted("same")
        found, first = directory(other, same, models=("small", ""))
        sending = asyncio.ensure_future(found.send("first", asked()))
        await asyncio.sleep(0)
        first.answer(503)
        same.answer(200, b"ok")
        assert (await sending)[0] == "same" and other.asked == []

    asyncio.run(run())
