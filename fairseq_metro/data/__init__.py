"""Data sets as arrays: indexed files, document blocks, masking, batches. No model code."""
