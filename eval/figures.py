#!/usr/bin/env python3
"""METRO-T0's figures for any runs: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.analysis.figures.command import main
from fairseq_metro.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
