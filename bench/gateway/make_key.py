"""Makes a virtual key of a known text, with every kind of limit: python make_key.py CONFIG TEXT"""

from __future__ import annotations

import sys
from pathlib import Path

from freehold.access import KeyDesk, credentials
from freehold.access.fields import KeyFields
from freehold.config import load_settings
from freehold.store import ControlStore


def main() -> None:
    settings = load_settings(Path(sys.argv[1]))
    settings.data.mkdir(parents=True, exist_ok=True)
    credentials.new_secret = lambda: sys.argv[2]
    fields = KeyFields(
        name="bench",
        models=("mock",),
        requests_per_minute=100_000_000,
        tokens_per_minute=100_000_000_000,
        dollars_per_day=1_000_000.0,
        dollars_per_month=30_000_000.0,
    )
    control = ControlStore.open(settings.control_url)
    KeyDesk(settings, control, "command").create(fields)
    control.close()


if __name__ == "__main__":
    main()
