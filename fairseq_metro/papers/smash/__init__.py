"""SMASH's tables and figures from the results of few-shot runs, the paper's numbers beside ours."""
