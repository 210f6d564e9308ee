"""Analysis of a run: parse its log, show progress, plot curves, summarize results."""
