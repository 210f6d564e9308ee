"""Evaluation: what trained models are worth."""
