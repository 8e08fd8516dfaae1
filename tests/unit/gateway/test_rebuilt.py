"""What a changed configuration does to the upstreams: what did not change stays as it is, with its connections."""

from __future__ import annotations

import msgspec
import pytest

from freehold.config import UpstreamSettings
from freehold.domain.errors import ConfigError
from freehold.gateway.directory import build_directory, rebuilt

A, B = (UpstreamSettings(base_url=f"http://127.0.0.1:{port}/v1", models=(f"m{port}",)) for port in (1, 2))


def test_only_what_changed_is_made_anew() -> None:
    before = {"a": A, "b": B}
    old = build_directory(before)
    changed = msgspec.structs.replace(B, idle_timeout=1.0)
    after = {"c": A, "b": changed, "a": A}
    new, retired = rebuilt(old, before, after, anew=False)
    assert list(new.entries) == ["c", "b", "a"] and new.entries["a"] is old.entries["a"]
    assert new.entries["b"] is not old.entries["b"] and retired == [old.entries["b"].upstream]
    same, retired = rebuilt(old, before, before, anew=False)
    assert all(same.entries[name] is old.entries[name] for name in before) and not retired
    gone, retired = rebuilt(old, before, {"a": A}, anew=False)
    assert list(gone.entries) == ["a"] and retired == [old.entries["b"].upstream]
    fresh, retired = rebuilt(old, before, before, anew=True)
    assert not any(fresh.entries[name] is old.entries[name] for name in before)
    assert retired == [old.entries[name].upstream for name in before]


def test_a_key_that_is_not_there_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    old = build_directory({"a": A})
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        rebuilt(old, {"a": A}, {"a": msgspec.structs.replace(A, api_key_env="NO_SUCH_KEY")}, anew=False)
    assert list(old.entries) == ["a"]
