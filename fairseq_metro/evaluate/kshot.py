"""k-shot inputs: solved rows of another split before the question."""

from functools import lru_cache

from fairseq_metro.prompts import Prompted
from fairseq_metro.prompts.mixtures import flan

# Forms of an exemplar and of the question; FLAN's own is (Wei et al. 2022, 4.4).
FORMS = {"plain": {"shown_as": "{input}\n{target}\n\n", "asked_as": "{input}"}, "flan": {}}


class Exemplars:
    """Exemplars of one set: which rows a row is shown, and the input with them in front.

    pool: rows (dict) of the split they are taken from; shots: how many; group: a field whose value
    exemplar and row share (MMLU's subject), or None; form: a key of FORMS; length, limit: measure
    of a text and the longest input by it, of which no question is cut: exemplars that do not fit
    are left out.
    """

    def __init__(
        self, pool, shots, seed, *, group=None, form="plain", length=flan.words, limit=None
    ):
        self.pool, self.shots, self.seed, self.group = pool, shots, seed, group
        self.length, self.limit = lru_cache(4096)(length), limit
        self.formats = FORMS[form]
        self._members = {}
        for place, row in enumerate(pool):
            self._members.setdefault(row.get(group) if group else None, []).append(place)

    def rows_for(self, run, index, row):
        """Rows shown to a split's row ``index``, best first: all of a small pool in its order
        (MMLU's five of a subject), else drawn for this row alone."""
        members = self._members.get(row.get(self.group) if self.group else None, [])
        if len(members) > self.shots:
            shots = (self.shots, self.shots)
            drawn = flan.exemplar_rows(self.seed, run, str(index), len(members), shots)
            members = [members[place] for place in drawn]
        return [self.pool[place] for place in members]

    def before(self, prompted, run, index, row, prompt):
        """The pair with its exemplars; prompt: gives a row's pair, or a DropReason."""
        shown = [prompt(shot) for shot in self.rows_for(run, index, row)]
        shown = [shot for shot in shown if isinstance(shot, Prompted)]
        return flan.with_exemplars(prompted, shown, self.limit, self.length, **self.formats)
