"""Agents of which only the base URL is set: OpenAI's and Anthropic's libraries below /r, and the run as it is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
from clients.cases import INPUTS
from provider import Provider
from running import CONFIG, running_gateway

TOOL: Any = INPUTS["tool"]
ASKED: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": INPUTS["one"]}]


class Served(NamedTuple):
    url: str
    config: Path

    def openai(self, path: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}{path}/v1", api_key="sk-test", max_retries=0, timeout=20)

    def anthropic(self, path: str) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=f"{self.url}{path}", api_key="sk-test", max_retries=0, timeout=20)

    def shown(self, episode: str) -> dict[str, Any]:
        """`freehold episode show` as scripts read it: run → agent, in the order in which they began."""
        command = [sys.executable, "-m", "freehold.cli.main", "episode", "show", episode, "--json"]
        command += ["--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=60)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return {**found, "agents": {agent["run"]: agent for agent in found["agents"]}}


@pytest.fixture(scope="module")
def served(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("runs")
    with running_gateway(folder, CONFIG.format(provider=provider)) as url:
        yield Served(url, folder / "freehold.toml")


def test_three_agents_by_their_base_urls_are_one_tree(served: Served, provider: Provider) -> None:
    before = len(provider.seen)
    _by_chat(served.openai("/r/release-7/planner/-"))
    _by_messages(served.anthropic("/r/release-7/left%20hand/planner"))
    _by_responses(served.openai("/r/release-7/right/planner"))
    sent = {seen.target for seen in provider.seen[before:]}
    assert sent == {"/v1/chat/completions", "/v1/messages", "/v1/responses"}, "a run's path reached the provider"
    episode = served.shown("release-7")
    agents = episode["agents"]
    assert episode["how"] == ["url"] and episode["roots"] == ["planner"] and episode["problems"] == []
    assert {run: agent["parent"] for run, agent in agents.items()} == {
        "planner": None,
        "left hand": "planner",
        "right": "planner",
    }
    for agent in agents.values():
        assert [(segment["begins"], len(segment["steps"])) for segment in agent["segments"]] == [("start", 2)], agent


def test_a_run_that_nobody_named_is_found_by_what_the_libraries_send(served: Served) -> None:
    for client in (_by_chat, _by_responses):
        client(served.openai(""))
    _by_messages(served.anthropic(""))
    command = [sys.executable, "-m", "freehold.cli.main", "episode", "list", "--json", "--config", str(served.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = [line for line in json.loads(done.stdout) if "inferred" in line["how"]]
    assert sorted(line["steps"] for line in found) == [2, 2, 2]
    assert sum("response-id" in line["how"] for line in found) == 1


def _by_chat(client: openai.OpenAI) -> None:
    """Two steps with a tool, streamed: the library's own message is sent back."""
    with client:
        tools: Any = [{"type": "function", "function": {**TOOL, "strict": True}}]
        messages = list(ASKED)
        with client.chat.completions.stream(model="gpt-test", messages=messages, tools=tools) as events:
            said = events.get_final_completion().choices[0].message
        calls: Any = said.tool_calls
        messages += [said.model_dump(exclude_none=True, exclude={"parsed"})]
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "21 °C"} for call in calls]
        assert client.chat.completions.create(model="gpt-test", messages=messages).choices[0].message.content


def _by_messages(client: anthropic.Anthropic) -> None:
    """The same by Anthropic's library; its content blocks are sent back as they came."""
    with client:
        tools: Any = [{"name": TOOL["name"], "description": "The weather", "input_schema": TOOL["parameters"]}]
        asked: Any = {"model": "claude-test", "max_tokens": 99, "system": "Be brief.", "tools": tools}
        messages: Any = [{"role": "user", "content": INPUTS["one"]}]
        with client.messages.stream(**asked, messages=messages) as events:
            said = events.get_final_message()
        used = [block.id for block in said.content if block.type == "tool_use"]
        assert used
        results = [{"type": "tool_result", "tool_use_id": identity, "content": "21 °C"} for identity in used]
        messages += [{"role": "assistant", "content": said.content}, {"role": "user", "content": results}]
        assert client.messages.create(**asked, messages=messages).content


def _by_responses(client: openai.OpenAI) -> None:
    """Two steps, of which the second sends only what is new and names the first."""
    with client:
        first = client.responses.create(model="gpt-test", instructions="Be brief.", input="hello")
        second = client.responses.create(
            model="gpt-test", instructions="Be brief.", input="and?", previous_response_id=first.id
        )
        assert second.output_text
