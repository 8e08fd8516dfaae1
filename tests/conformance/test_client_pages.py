"""The examples on the pages of docs/clients are run, each as it stands, by the client it is about."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from installed import litellm_path, node_folder

from freehold.config import load_settings

PAGES = Path(__file__).parents[2] / "docs" / "clients"
HELLO = "Grüße zu «Say hello.» 👋"
BY, BY_HEADERS = (
    "openai/gpt-4o-mini greeting",
    ("x-freehold-answered-by: openai/gpt-4o-mini", "x-freehold-task: greeting"),
)
SAYS: dict[str, list[tuple[str, ...]]] = {
    "anthropic": [(f"{HELLO}\n{HELLO}\n",), (f"{HELLO}\n",)],
    "curl": [
        (f'"content": "{HELLO}"',),
        ("event: response.created\n", "event: response.completed\n", f'"text": "{HELLO}"'),
        ('"type": "message"', f'"text": "{HELLO}"'),
        (*BY_HEADERS, f'"content": "{HELLO}"'),
        ('{"object":"feedback","id":"fb_',),
    ],
    "langchain": [(f"{HELLO}\n{HELLO}\n",), (f"{HELLO}\n",), (f"{HELLO}\n",)],
    "litellm": [(f"{HELLO}\n{HELLO}\n",)],
    "openai-node": [(f"{HELLO}\n{HELLO}\n",), (f"{BY}\n",)],
    "openai-python": [(f"{HELLO}\n{HELLO}\n",), (f"{BY}\n",)],
    "vercel-ai-sdk": [(f"{HELLO}\n{HELLO}\n",)],
}
"""What each example of a page must print."""


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```({'|'.join(languages)})\n(.*?)^```$", text, re.M | re.S)


def run(page: str, language: str, example: str, url: str) -> str:
    environment = {
        **os.environ,
        "FREEHOLD_URL": url,
        "OPENAI_API_KEY": "sk-test",
        "ANTHROPIC_API_KEY": "sk-test",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    if page == "litellm":
        environment["PYTHONPATH"] = str(litellm_path())
    command, folder = {
        "python": ([sys.executable, "-"], None),
        "js": (["node", "--input-type=module", "-"], node_folder() if language == "js" else None),
        "sh": (["bash", "-euo", "pipefail", "-s"], None),
    }[language]
    done = subprocess.run(
        command, cwd=folder, env=environment, input=example, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_page_is_tested() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(SAYS)


@pytest.mark.parametrize("page", SAYS)
def test_examples_run(gateway: str, page: str) -> None:
    examples = blocks(page, "python", "js", "sh")
    assert len(examples) == len(SAYS[page])
    for (language, example), says in zip(examples, SAYS[page], strict=True):
        said = run(page, language, example, gateway)
        for expected in says:
            assert expected in said, example


def test_settings_are_settings(tmp_path: Path) -> None:
    ((_, example),) = blocks("anthropic", "toml")
    (tmp_path / "freehold.toml").write_text(example)
    settings = load_settings(tmp_path / "freehold.toml")
    assert msgspec.structs.asdict(settings.upstreams["anthropic"])["protocol"] == "anthropic"
