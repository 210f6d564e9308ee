"""What the quickstarts' tests put in place of the environment and of the steps that take time."""

ENVIRONMENT = 'export PATH="$PWD/programs:$PATH"\n'

# A preprocess/ script that notes its call and fails where it is told to.
STEP = """
import os, sys
from pathlib import Path
name = Path(__file__).stem
with open("calls", "a") as stream:
    print(name, *sys.argv[1:], file=stream)
if os.environ.get("FAKE_FAILS") == name:
    sys.exit(f"error: {name} cannot go on")
"""


def write_programs(clone, **texts):
    """Put executable files into CLONE/programs; a _ in a name stands for a -."""
    for name, text in texts.items():
        path = clone / "programs" / name.replace("_", "-")
        path.write_text(text)
        path.chmod(0o755)
