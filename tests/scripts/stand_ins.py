"""What the quickstarts' tests put in place of the environment and of the steps that take time."""

import sys

ENVIRONMENT = 'export PATH="$PWD/programs:$PATH"\n'

# In place of a command of fairseq-metro: notes its call and fails where it is told to.
STEP = """
import os, sys
from pathlib import Path
name = sys.argv.pop(1)
with open("calls", "a") as stream:
    print(name, *sys.argv[1:], file=stream)
if os.environ.get("FAKE_FAILS") == name:
    sys.exit(f"error: {name} cannot go on")
"""


def write_python(clone, commands, step, first_lines=""):
    """Put a ``python`` into CLONE/programs that runs the text ``step`` for these commands."""
    (clone / "programs" / "step.py").write_text(step)
    pattern = "|".join(f"'-m fairseq_metro {command}'" for command in commands)
    text = (
        f"#!/usr/bin/env bash\n{first_lines}"
        f'case "$1 $2 $3" in {pattern})\n'
        f'  shift 2; exec {sys.executable} "$PWD/programs/step.py" "$@" ;;\nesac\n'
        f'exec {sys.executable} "$@"\n'
    )
    write_programs(clone, python=text)


def write_programs(clone, **texts):
    """Put executable files into CLONE/programs; a _ in a name stands for a -."""
    for name, text in texts.items():
        path = clone / "programs" / name.replace("_", "-")
        path.write_text(text)
        path.chmod(0o755)
