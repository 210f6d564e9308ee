"""Task data: benchmark files as they are distributed, read as rows with one schema per data set.

What a data set is, is data: ``datasets/*.yaml`` (catalogue.py says how to write one).
"""

from fairseq_metro.prompts.task_data.opening import NotThere, dataset_names, open_dataset

__all__ = ["NotThere", "dataset_names", "open_dataset"]
