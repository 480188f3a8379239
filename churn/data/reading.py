"""From a file to chunks of rows: the columns asked for, the line of each row, and what is wrong with those that are no row at all."""

import bz2
import csv
import gzip
import hashlib
import io
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from churn.data.mapping import FileFormat
from churn.platform.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 200_000
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "nat", "\\n", "-"})
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    rows: one column for each one asked for (text from CSV, the file's own types from Parquet; None where missing), and `line`, the number of the
    line (CSV) or row (Parquet), from 1; `row_hash`, of the whole source row, where it was asked for.
    faults: line, reason and text of what could not be read as a row.
    """

    rows: "pd.DataFrame"
    faults: list[tuple[int, str, str]]


def read_chunks(path: Path, form: FileFormat, wanted: dict[str, str], *, hash_rows: bool = False, size: int = CHUNK) -> Iterator[Chunk]:
    """Read a CSV or Parquet file chunk by chunk.

    Args:
        path: a local file; CSV may be compressed.
        form: how its bytes become rows.
        wanted: what the project calls a column → what the file calls it.
        hash_rows: add a hash of the whole source row.
        size: rows a chunk.

    Raises:
        InputError: a column that was asked for is not there, or the file is not of its format.
    """
    kind = form.type if form.type != "auto" else "parquet" if _is_parquet(path) else "csv"
    return (_read_parquet if kind == "parquet" else _read_csv)(path, form, wanted, hash_rows, size)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _check_columns(path: Path, there: list[str], wanted: dict[str, str]) -> None:
    absent = [f"{source!r} (mapped to {name})" for name, source in wanted.items() if source not in there]
    if absent:
        have = ", ".join(repr(name) for name in there[:30])
        raise InputError(f"{path}: no column {', '.join(absent)}; it has {have}; mend columns: or format: in the dataset's file")


def _read_parquet(path: Path, _: FileFormat, wanted: dict[str, str], hash_rows: bool, size: int) -> Iterator[Chunk]:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a whole Parquet file: {error}") from None
    with file:
        _check_columns(path, file.schema_arrow.names, wanted)
        columns = None if hash_rows else list(dict.fromkeys(wanted.values()))
        line = 1
        for batch in file.iter_batches(batch_size=size, columns=columns):
            frame = batch.to_pandas(integer_object_nulls=True, ignore_metadata=True)
            rows = pd.DataFrame({name: frame[source] for name, source in wanted.items()})
            rows["line"] = range(line, line + len(rows))
            if hash_rows:
                rows["row_hash"] = pd.util.hash_pandas_object(frame.astype(str), index=False).astype(str)
            line += len(rows)
            yield Chunk(rows, [])


def _open_text(path: Path, encoding: str) -> IO[str]:
    raw: Any = _OPENERS.get(path.suffix.lower(), open)(path, "rb")
    # A byte that is not of the encoding makes a bad row, not the end of the reading.
    name = "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
    return io.TextIOWrapper(raw, encoding=name, errors="surrogateescape" if name.startswith("utf-8") else "replace", newline="")


def _records(file: IO[str], form: FileFormat) -> Iterator[tuple[int, list[str] | None]]:
    """Each record with its line number; None where the line cannot be split."""
    if form.separator == "whitespace":
        yield from ((number, line.split()) for number, line in enumerate(file, 1))
        return
    quoting: dict[str, Any] = {"quotechar": form.quote} if form.quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(file, delimiter=form.separator, skipinitialspace=True, **quoting)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield reader.line_num, None
        else:
            yield reader.line_num, record


def _read_csv(path: Path, form: FileFormat, wanted: dict[str, str], hash_rows: bool, size: int) -> Iterator[Chunk]:
    try:
        with _open_text(path, form.encoding) as file:
            records = iter(_records(file, form))
            for _ in islice(records, form.skip_lines):
                pass
            header = form.header or [name.strip() for name in (next(records, (0, None))[1] or [])]
            while header and not header[-1]:
                header.pop()
            if not header:
                raise InputError(f"{path}: is empty: there is no header line")
            _check_columns(path, header, wanted)
            index = {name: header.index(source) for name, source in wanted.items()}
            while batch := list(islice(records, size)):
                yield _chunk(batch, index, len(header), hash_rows)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read to its end: {error}") from None
    except UnicodeError as error:
        raise InputError(f"{path}: is not {form.encoding}: {error}; give format.encoding in the dataset's file") from None


def _chunk(batch: list[tuple[int, list[str] | None]], index: dict[str, int], width: int, hash_rows: bool) -> Chunk:
    import pandas as pd

    faults = []
    good: list[tuple[int, list[str]]] = []
    for line, record in batch:
        if record is None:
            faults.append((line, "the line cannot be read as CSV", ""))
        elif len(record) >= width and not any(field.strip() for field in record[width:]):
            good.append((line, record))  # a separator at the end of the line is no column
        elif any(field.strip() for field in record):
            faults.append((line, f"{len(record)} columns instead of {width}", _safe(" | ".join(record))[:500]))
    columns: dict[str, list[Any]] = {name: [_value(record[at]) for _, record in good] for name, at in index.items()}
    columns["line"] = [line for line, _ in good]
    if hash_rows:
        columns["row_hash"] = [_hash(record) for _, record in good]
    return Chunk(pd.DataFrame(columns, columns=list(columns)), faults)


def _value(text: str) -> str | None:
    text = text.strip()
    return None if text.lower() in _MISSING else text


def _safe(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _hash(record: list[str]) -> str:
    return hashlib.blake2b("\x1f".join(record).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
