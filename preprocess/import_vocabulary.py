#!/usr/bin/env python3
"""Make a vocabulary folder of the authors' sp.model and dict.txt: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.errors import run_command
from fairseq_metro.interchange.authors_vocabulary import main

if __name__ == "__main__":
    sys.exit(run_command(main))
