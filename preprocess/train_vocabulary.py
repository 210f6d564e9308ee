#!/usr/bin/env python3
"""Train a vocabulary folder: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.commands import vocabulary

if __name__ == "__main__":
    sys.exit(vocabulary())
