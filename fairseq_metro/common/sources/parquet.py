"""The texts of a parquet file's column, by pyarrow where it is installed."""

import contextlib

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.decoding import decode
from fairseq_metro.common.sources.opening import spooled
from fairseq_metro.common.sources.rows import Unusable, counted, text_in

BATCH = 1024


def texts_of_parquet(member, field, bad_rows):
    """Yield the text of each row in a column of texts, or of bytes that are UTF-8.

    Raises :class:`UserError` without pyarrow, for a damaged file, and for other columns.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{member.place}: reading parquet needs pyarrow; pip install pyarrow"
        ) from None
    with contextlib.ExitStack() as stack:
        source = member.path
        if member.packing or member.stored is None:
            source = stack.enter_context(spooled(member))
        try:
            table = pyarrow.parquet.ParquetFile(source)
            stack.callback(table.close)
            check_column(table.schema_arrow, field, member, pyarrow.types)
            yield from counted(_rows(table, field, member, pyarrow), member.place, bad_rows)
        except (OSError, pyarrow.ArrowException) as error:
            reason = str(error).split("\n")[0]
            raise UserError(f"{member.place}: not a whole parquet file ({reason})") from None


def check_column(schema, field, member, types):
    """Raise :class:`UserError` unless ``field`` is a column of texts or bytes."""

    def is_text(kind):
        if types.is_dictionary(kind):
            kind = kind.value_type
        return (
            types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind)
            or types.is_large_binary(kind) or types.is_null(kind)
        )  # fmt: skip

    if field not in schema.names:
        problem = text_in(dict.fromkeys(schema.names), field)
        raise UserError(f"{member.place}: {problem.details}")
    if schema.names.count(field) > 1:
        raise UserError(f"{member.place}: several columns are called {field!r}; rename all but one")
    kind = schema.field(field).type
    if not is_text(kind):
        texts = [column.name for column in schema if is_text(column.type)]
        raise UserError(
            f"{member.place}: column {field!r} holds {kind}, no text; give --field (columns of "
            f"text: {', '.join(texts) or 'none'})"
        )


def _rows(table, field, member, pyarrow):
    number = 0
    for batch in table.iter_batches(batch_size=BATCH, columns=[field]):
        column = batch.column(0)
        if pyarrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        # Read as bytes: parquet does not check that a text column is valid UTF-8.
        for raw in column.cast(pyarrow.large_binary()).to_pylist():
            number += 1
            yield f"row {number}", _text(raw, field, member)


def _text(raw, field, member):
    if raw is None:
        return Unusable("null", f"null in column {field!r}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return decode(raw, member)
    except UserError as error:  # its remedy is for a file of text
        words = str(error).removeprefix(f"{member.place}: line 1, ").split(";")[0]
        return Unusable("not UTF-8", f"{words}; write column {field!r} as UTF-8")
