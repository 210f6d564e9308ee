#!/usr/bin/env python3
"""Export a model of ours to Hugging Face: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.errors import run_command
from fairseq_metro.interchange.export_hf import main

if __name__ == "__main__":
    sys.exit(run_command(main))
