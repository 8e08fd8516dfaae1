"""What goes wrong with a Delta table, in Freehold's words. Needs deltalake and polars."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from deltalake.exceptions import CommitFailedError, DeltaError
from polars.exceptions import PanicException, PolarsError

from freehold.domain.errors import Conflict, StoreError

FAILURES = (PolarsError, PanicException, OSError)
"""What polars raises over files: over some damaged Parquet files it panics."""


@contextlib.contextmanager
def translated(uri: str) -> Generator[None, None, None]:
    """Raises StoreError, or Conflict, for what fails in the block about the table at `uri`."""
    try:
        yield
    except CommitFailedError as error:
        raise Conflict(
            f"Another process wrote to {uri} at the same time: {error}.", "Only one sealer may run; try again."
        ) from error
    except DeltaError as error:
        raise StoreError(
            f"The table at {uri} cannot be used: {error}.", "Check the folder, its permissions and the disk."
        ) from error
    except FAILURES as error:
        raise unreadable(error, uri) from error


def unreadable(error: BaseException, uri: str = "") -> StoreError:
    """The StoreError of a file that polars could not read or write."""
    where = f" at {uri}" if uri else ""
    return StoreError(
        f"A file of the table{where} cannot be used: {error}.", "Check the folder, its permissions and the disk."
    )
