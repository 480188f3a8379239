"""DuckDB as every stage uses it: memory bounded, spilling beside the output, no progress bar."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

MEMORY = "2GB"


@contextlib.contextmanager
def database(memory: str = MEMORY) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A connection in memory that spills to a folder of its own, removed when the block ends."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="churn-duckdb-") as spill:
        connection = duckdb.connect(config={"memory_limit": memory, "temp_directory": spill})
        try:
            connection.execute("SET enable_progress_bar = false")
            yield connection
        finally:
            connection.close()


def quoted(value: str | Path) -> str:
    """A string as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"
