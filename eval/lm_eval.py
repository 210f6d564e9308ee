#!/usr/bin/env python3
"""lm-evaluation-harness with our models in it: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.errors import run_command
from fairseq_metro.evaluate.harness_command import main

if __name__ == "__main__":
    here = Path(__file__).resolve().parent  # the harness's package has this file's name
    sys.path = [path for path in sys.path if Path(path).resolve() != here]
    sys.exit(run_command(main))
