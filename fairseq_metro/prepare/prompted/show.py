"""Show rendered examples of every task without writing files."""

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
        for task, shown, reasons in examples(work, place, renderer, number):
            stream.write(f"\n{work.unit.split}/{task.name}\n")
            for pair in shown:
                stream.write(f"  input:   {pair.input}\n  target:  {pair.target}\n")
                if pair.choices is not None:
                    stream.write(f"  choices: {' | '.join(pair.choices)}\n")
                stream.write("\n")
            for reason, times in reasons.items():
                stream.write(f"  left out: {times} row(s), {reason}\n")


def examples(work, place, renderer, number):
    """Yield (task, its first pairs, reasons for rows before them) from the unit's first rows."""
    _, positions = work.selected_rows()
    for position, task in enumerate(work.unit.tasks):
        needed = None if positions is None else positions[position][: number * ROWS_TRIED]
        rows = list(islice(good_rows(work.source, needed), number * ROWS_TRIED))
        shown, reasons = [], {}
        for index, row in rows:
            if len(shown) == number:
                break
            single = [[] for _ in work.unit.tasks]
            single[position] = [0]
            pairs, dropped = renderer.texts(Job(place, [index], [row], single))
            shown += pairs[position]
            for reason, times in dropped[position].items():
                reasons[reason] = reasons.get(reason, 0) + times
        yield task, shown, reasons
