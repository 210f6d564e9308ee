"""Few-shot fine-tuning by SMASH's protocol: runs over tasks, splits and a grid, and their table."""
