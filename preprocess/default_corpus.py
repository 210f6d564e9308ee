#!/usr/bin/env python3
"""The default corpus from the installed packages' documentation: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.commands import corpus

if __name__ == "__main__":
    sys.exit(corpus())
