"""One row that is not as it should be: an error, or counted and left out where few may be."""

from fairseq_metro.common.errors import UserError


class BadRow(UserError):
    """What is wrong with a row, with its file and line.

    reason: a few words, for counts; of_file: whether the file is at fault rather than the row: its
    encoding, or a cut-off end.
    """

    def __init__(self, message, reason="not as it should be", of_file=False):
        super().__init__(message)
        self.reason, self.of_file = reason, of_file


def good_rows(rows, bad_rows):
    """Yield rows; for a :class:`BadRow` among them None, which keeps the places of the others.

    bad_rows: a sources.BadRows, which counts them; None: a bad row is raised.
    """
    for row in rows:
        if not isinstance(row, BadRow):
            if bad_rows is not None:
                bad_rows.good()
            yield row
        elif bad_rows is None:
            raise UserError(str(row))
        else:
            bad_rows.add(row.reason, str(row), of_file=row.of_file)
            yield None
    if bad_rows is not None:
        bad_rows.end_of_file()
