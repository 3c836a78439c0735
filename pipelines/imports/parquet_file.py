"""A Parquet file decoded batch by batch: page checksums verified, INT96 times never wrapped around."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import BadInput
from pipelines.imports.source import Source

FAR = 1 << 62  # stands for a time that no type of a dataset holds
_SECONDS = 9_000_000_000_000  # from 1970 that 64 bits of microseconds hold


def open_file(source: Source, unit: str = "us") -> pq.ParquetFile:
    try:
        return pq.ParquetFile(
            source.for_arrow(),
            memory_map=True,
            pre_buffer=False,
            page_checksum_verification=True,
            coerce_int96_timestamp_unit=unit,
        )
    except (OSError, pa.ArrowException) as error:
        raise _damaged(source, error) from error


def _damaged(source: Source, error: Exception) -> BadInput:
    reason = str(error).splitlines()[0].replace(str(source.for_arrow()), source.name)
    return BadInput(
        f"The file {source.name!r} is not a Parquet file that can be read ({reason}); write it again."
    )


def batches(file: pq.ParquetFile, groups: list[int], source: Source, size: int) -> Iterator[pa.RecordBatch]:
    """The rows of some row groups. BadInput for what cannot be decoded."""
    old = [
        column.path
        for column in (file.schema.column(n) for n in range(len(file.schema)))
        if column.physical_type == "INT96" and "." not in column.path
    ]
    try:
        for batch, coarse in _beside(file, source, groups, size, old):
            yield batch if coarse is None else _mended(batch, coarse)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(source, error) from error


def _beside(
    file: pq.ParquetFile, source: Source, groups: list[int], size: int, old: list[str]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch | None]]:
    """Each batch, and its INT96 columns once more in seconds: in microseconds Arrow lets them wrap around."""
    found = file.iter_batches(size, row_groups=groups, use_threads=False)
    if not old:
        yield from ((batch, None) for batch in found)
        return
    with open_file(source, "s") as again:
        yield from zip(found, again.iter_batches(size, groups, old, use_threads=False), strict=True)


def _mended(batch: pa.RecordBatch, coarse: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with a time that no type holds in place of each that wrapped around to a wrong one."""
    for name in coarse.schema.names:
        place = batch.schema.get_field_index(name)
        far = pc.invert(pc.less(pc.abs(coarse.column(name).cast(pa.int64())), _SECONDS))
        if pc.any(far).as_py():
            values = pc.if_else(far, pa.scalar(FAR, batch.column(place).type), batch.column(place))
            batch = batch.set_column(place, batch.schema.field(place), values)
    return batch
