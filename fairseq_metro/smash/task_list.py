"""Few-shot tasks by group, and the words that a vocabulary for them needs.

``python -m fairseq_metro.smash.task_list TASK… [--words FILE]`` prints a line for each task, its
group and its name or file with a tab between; FILE gets the words and marks, one a line, of these
tasks, of all the package's and of its groups, for ``train_vocabulary --require-words``.
"""

from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import atomic_write
from fairseq_metro.smash.groups import group_names, load_group
from fairseq_metro.smash.tasks import load_task, required_words, task_names
from fairseq_metro.smash.templates import PromptTemplate


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="+", metavar="TASK",
        help="Few-shot task: a name or a YAML file.")  # fmt: skip
    parser.add_argument("--words", type=Path, metavar="FILE",
        help="File to write the words of the vocabulary to.")  # fmt: skip
    return parser


def main(argv=None):
    args = parser().parse_args(argv)
    tasks = {name: load_task(name) for name in args.tasks}
    for name, task in tasks.items():
        if task.group not in group_names():
            raise UserError(
                f"{name}: its group is {task.group!r}, must be one of {', '.join(group_names())}, "
                "on whose prompts a student is distilled for it"
            )
    if args.words:
        with atomic_write(args.words) as stream:
            stream.writelines(f"{word}\n" for word in all_words(tasks.values()))
    for name, task in tasks.items():
        print(f"{task.group}\t{name}")
    return 0


def all_words(tasks):
    """Words and marks of these tasks, of the package's tasks and of its groups: sorted list of str."""
    tasks = [*map(load_task, task_names()), *tasks]
    groups = [load_group(name) for name in group_names()]
    more = [group.template for group in groups]
    more += [word for group in groups for word in group.verbalizer.values()]
    more += [word for group in groups if group.filter for word in group.filter.words]
    prompts = [task.prompt for task in tasks]
    prompts += [PromptTemplate.parse(group.template) for group in groups]
    marks = {mark for prompt in prompts for mark in prompt.characters}
    return sorted(marks.union(required_words(tasks, more)))


if __name__ == "__main__":
    raise SystemExit(run_command(main))
