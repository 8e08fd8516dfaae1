"""`freehold release validate`: a release's documents against the schemas of the standards they are written in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from freehold.cli.common import echo_json, json_option


@click.command("validate")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def validate_command(folder: Path, as_json: bool) -> None:
    """Check the model card and standards/ of the release DIR against their schemas (needs freehold[sbom]).

    It says nothing of whether DIR is what was signed: `freehold release verify` does. Ends with code 9 where a
    document breaks its standard's rules, or does not follow from inventory.json.
    """
    from freehold.domain.errors import ReleaseError, StoreError
    from freehold.release.layout import read_inventory
    from freehold.release.standards import documents, problems

    inventory, _ = read_inventory(folder)
    expected = documents(inventory)
    try:
        written = {path: (folder / path).read_bytes() for path in expected}
    except OSError as error:
        raise StoreError(f"A document of {folder} cannot be read: {error}.", "Get the release again.") from error
    found = list(problems(written))
    found += [f"{path} is not what this version writes from inventory.json." for path in expected
              if written[path] != expected[path]]  # fmt: skip
    if as_json:
        echo_json({"documents": list(written), "problems": found})
        sys.exit(ReleaseError.exit_code if found else 0)
    if found:
        todo = f"It was built by {inventory.software}: validate it with that version, or build it again."
        raise ReleaseError(f"{folder}: {' '.join(found)}", todo)
    click.echo(f"{', '.join(written)}: each keeps its standard's rules, and follows from inventory.json.")
