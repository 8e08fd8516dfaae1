"""The `freehold` command: thin. Commands are loaded when they are called, so that `--help` is quick.

Public names: `freehold.cli.main.main`.
"""
