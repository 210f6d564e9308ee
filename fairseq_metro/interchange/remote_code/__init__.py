"""Files that an exported folder carries with it, for transformers' ``trust_remote_code``.

They need torch, transformers, numpy and sentencepiece, and neither fairseq nor this package: what
they import of it is copied beside them (:mod:`fairseq_metro.interchange.export_code`).
"""
