"""Compiled layers for a test's duration."""

import torch

from fairseq_metro.kernels import choice
from fairseq_metro.modules import compiled


class Asked:
    """Asks for compiled layers within ``with``: each read into one graph (fullgraph), whose backward
    pass is traced too. kinds: the class of every layer that ran so."""

    def __init__(self, monkeypatch, backend="aot_eager", kernels="auto"):
        self.patch, self.backend, self.kernels = monkeypatch, backend, kernels
        self.kinds, self.made = [], {}

    def read(self, kind):
        self.kinds.append(kind.__name__)
        if kind not in self.made:
            self.made[kind] = torch.compile(kind.forward, backend=self.backend, fullgraph=True)
        return self.made[kind]

    def __enter__(self):
        torch._dynamo.reset()
        self.context = self.patch.context()
        patch = self.context.__enter__()
        words = [f"{name}={self.kernels}" for name in choice.OPERATIONS]
        patch.setenv(choice.VARIABLE, ",".join([*words, "layers=compiled"]))
        patch.setattr(compiled, "_compiled", self.read)
        choice.forget()
        return self

    def __exit__(self, *error):
        self.context.__exit__(*error)
        choice.forget()
