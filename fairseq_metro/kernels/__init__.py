"""Fused versions of the operations that cost most, in Triton, and the choice between them and torch.

A Triton kernel compiles to machine code on the user's GPU, needs no compiler installed, and runs in
Triton's interpreter on a CPU, where it is tested. Which version runs: :mod:`.choice`.
"""
