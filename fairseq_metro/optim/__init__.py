"""Optimizers registered with fairseq; importing a module registers its optimizer."""
