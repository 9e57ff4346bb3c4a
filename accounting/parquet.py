"""Usage records as Parquet, in the columns of ``exports.py``; needs the extra ``llmgateway[parquet]``."""

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import orjson

from accounting.errors import ParquetMissing
from accounting.exports import COLUMNS, NAMES, Row, json_text
from accounting.models.money import PLACES

ROW_GROUP = 20_000
USD_DIGITS = 38


def check_available() -> None:
    """See whether Parquet can be read and written here.

    Raises:
        ParquetMissing: it cannot.
    """
    if find_spec("pyarrow") is None:
        raise ParquetMissing(
            "Parquet needs the extra parquet, which is not installed: make setup EXTRAS=parquet, an image that is "
            "built with it (docs/operators/deployment.md), or choose CSV."
        )


def write(out: IO[bytes], portions: Iterable[list[Row]]) -> None:
    """Write records, in groups of ``ROW_GROUP``: so many are in memory at a time.

    Raises:
        ParquetMissing: nothing here can write Parquet.
    """
    check_available()
    import pyarrow as pa  # noqa: PLC0415  (an extra: large, and only some have it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = _schema(pa)
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for rows in _groups(portions):
            columns = [list(values) for values in zip(*rows, strict=True)]
            for index in _JSON:
                columns[index] = [json_text(value) for value in columns[index]]
            arrays = [
                pa.array(values, type=field.type)
                for values, field in zip(columns, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _groups(portions: Iterable[list[Row]]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for rows in portions:
        group.extend(rows)
        if len(group) >= ROW_GROUP:
            yield group
            group = []
    if group:
        yield group


def read(path: Path) -> Iterator[list[Row]]:
    """The records of a file, some thousand at a time.

    Raises:
        ParquetMissing: nothing here can read Parquet.
        OSError, ValueError: the file cannot be read.
    """
    check_available()
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=2000, columns=list(NAMES)):
            columns = [column.to_pylist() for column in batch.columns]
            for index in _JSON:
                columns[index] = [orjson.loads(value) for value in columns[index]]
            yield list(zip(*columns, strict=True))


def _schema(pa: Any) -> Any:
    kinds = {
        "moment": pa.timestamp("us", tz="UTC"),
        "usd": pa.decimal128(USD_DIGITS, PLACES),
        "flag": pa.bool_(),
        "count": pa.int64(),
        "json": pa.string(),
        "text": pa.string(),
    }
    return pa.schema(
        [
            pa.field(column.name, kinds[column.kind], nullable=column.may_be_empty)
            for column in COLUMNS
        ]
    )


_JSON = [index for index, column in enumerate(COLUMNS) if column.kind == "json"]
