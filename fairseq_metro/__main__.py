"""``python -m fairseq_metro COMMAND``: the same as ``fairseq-metro COMMAND``, from a clone."""

import sys

from fairseq_metro.cli import main

if __name__ == "__main__":
    sys.exit(main())
