#!/usr/bin/env python3
"""Raw text to a data folder that fairseq reads: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.commands import binarize

if __name__ == "__main__":
    sys.exit(binarize())
