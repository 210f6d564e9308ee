"""Rows of parquet files, by pyarrow where it is installed."""

from contextlib import ExitStack, contextmanager

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import open_member
from fairseq_metro.common.sources.opening import spooled
from fairseq_metro.prompts.task_data.bad_row import BadRow

BATCH = 1024


@contextmanager
def parquet_file(path):
    """pyarrow's ParquetFile of a file in any packing. Raises :class:`UserError`."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(
            f"{path}: parquet needs pyarrow: pip install pyarrow, or give the rows as jsonl"
        ) from None
    with ExitStack() as stack:
        member = stack.enter_context(open_member(path))
        source = path
        if member.packing:
            source = stack.enter_context(spooled(member))
        try:
            yield stack.enter_context(ParquetFile(source))
        except ValueError as error:  # pyarrow's errors of a damaged file are ValueErrors
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path}: not a whole parquet file ({error}); fetch it again") from None


def read_parquet(path, layout, start, stop, bad_rows):
    """Rows ``start`` to ``stop`` of a file: ("row 3", dict), or the :class:`BadRow` of one."""
    with parquet_file(path) as file:
        index = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if stop is not None and index >= stop:
                return
            if index + rows > start:
                yield from _rows_of_group(path, file, group, index, start, stop)
            index += rows


def _rows_of_group(path, file, group, index, start, stop):
    """Rows of one group, whose first is row ``index`` of the file."""
    for batch in file.iter_batches(batch_size=BATCH, row_groups=[group]):
        stop_here = batch.num_rows if stop is None else min(batch.num_rows, stop - index)
        start_here = max(0, start - index)
        if start_here < stop_here:
            part = batch.slice(start_here, stop_here - start_here)
            for number, row in enumerate(_python_rows(part), index + start_here + 1):
                yield f"row {number}", _decoded_row(f"{path}: row {number}", row)
        index += batch.num_rows


def _python_rows(batch):
    """Rows of a batch: dicts, whose texts are bytes where a column of texts is not all UTF-8."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:
        return _as_bytes(batch).to_pylist()


def _decoded_row(place, row):
    """A row with bytes as texts, or a :class:`BadRow` where they are not UTF-8."""
    try:
        return _decoded(row)
    except UnicodeDecodeError as error:
        return BadRow(f"{place}: bytes that are not UTF-8 ({error.reason})", "not UTF-8", True)


def _as_bytes(batch):
    """The batch with its columns of texts as columns of bytes."""
    import pyarrow

    texts = (pyarrow.string(), pyarrow.large_string())
    columns = [c.cast(pyarrow.large_binary()) if c.type in texts else c for c in batch.columns]
    return pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _decoded(value):
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, dict):
        return {key: _decoded(inner) for key, inner in value.items()}
    return [_decoded(inner) for inner in value] if isinstance(value, list) else value
