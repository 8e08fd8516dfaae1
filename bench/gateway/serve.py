"""Serve the gateway from a configuration file: what `freehold serve` does, without the command line around it."""

import sys
from pathlib import Path

from freehold.gateway import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]), log_level="warning")
