"""Rendered examples of every task, for eyes: no file is written."""

from itertools import islice

from fairseq_metro.prepare.prompted.reading import good_rows
from fairseq_metro.prepare.prompted.rendering import Job, Renderer
from fairseq_metro.prepare.prompted.trial import try_tasks
from fairseq_metro.prepare.prompted.units import all_work

ROWS_TRIED = 20  # for each example, since templates may be silent on rows


def show(plan, number, stream):
    """Print ``number`` examples of each task, as a model will read them, and what was left out."""
    works = all_work(plan)
    try_tasks(works)
    renderer = Renderer([work.unit for work in works], plan.vocabulary)
    for place, work in enumerate(works):
        for task, found, reasons in examples(work, place, renderer, number):
            stream.write(f"\n{work.unit.split}/{task.name}\n")
            for pair in found:
                stream.write(f"  input:   {pair.input}\n  target:  {pair.target}\n")
                if pair.choices is not None:
                    stream.write(f"  choices: {' | '.join(pair.choices)}\n")
                stream.write("\n")
            for reason, times in reasons.items():
                stream.write(f"  left out: {times} row(s), {reason}\n")


def examples(work, place, renderer, number):
    """Yield (task, its first pairs, reasons for rows before them) from the unit's first rows."""
    _, wanted = work.wanted()
    for position, task in enumerate(work.unit.tasks):
        needed = None if wanted is None else wanted[position][: number * ROWS_TRIED]
        rows = list(islice(good_rows(work.source, needed), number * ROWS_TRIED))
        found, reasons = [], {}
        for index, row in rows:
            if len(found) == number:
                break
            only = [[] for _ in work.unit.tasks]
            only[position] = [0]
            pairs, dropped = renderer.texts(Job(place, [index], [row], only))
            found += pairs[position]
            for reason, times in dropped[position].items():
                reasons[reason] = reasons.get(reason, 0) + times
        yield task, found, reasons
