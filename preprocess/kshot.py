#!/usr/bin/env python3
"""K-shot splits of few-shot tasks, by LM-BFF's algorithm: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.errors import run_command
from fairseq_metro.smash.kshot import main

if __name__ == "__main__":
    sys.exit(run_command(main))
