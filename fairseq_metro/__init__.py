"""METRO-T5 and friends: a fairseq plugin, used as ``fairseq-train --user-dir fairseq_metro``.

One alphabet for shapes in the whole package: ``B`` batch, ``T`` source length, ``S`` target length,
``C`` width, ``H`` heads, ``D`` head width, ``V`` vocabulary, ``M`` masked tokens of a batch, ``N``
flattened rows. Tensors are batch first. Losses are in nats.

Importing this package is light (no torch, no fairseq). fairseq imports ``tasks`` and ``models``
below a ``--user-dir`` by itself, and those register everything else; a Python program calls
:func:`register`.
"""

import importlib.util
import pkgutil

from fairseq_metro.common.errors import UserError, print_user_errors_as_one_line
from fairseq_metro.common.stamp import __version__

__all__ = ["UserError", "__version__", "load", "register"]

print_user_errors_as_one_line()

if importlib.util.find_spec("fairseq") is None:
    raise UserError(
        "fairseq is not installed in this Python; install torch, numpy, cython, wheel and "
        "'setuptools<81' first, then: pip install --no-build-isolation fairseq-fixed==0.12.3.1"
    )


def register():
    """Register tasks, models, criterions and optimizers with fairseq, as ``--user-dir`` does.

    Needed where this package was imported before fairseq came to its ``--user-dir``: fairseq then
    believes that everything is registered.
    """
    for part in ("tasks", "models"):
        package = importlib.import_module(f"{__name__}.{part}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")


def load(source, device=None, frozen_model=None):
    """A trained model that answers: ``load(DIR).generate(texts)``, ``.score_choices(texts, choices)``.

    See :func:`fairseq_metro.inference.loading.load`.
    """
    return importlib.import_module(f"{__name__}.inference.loading").load(
        source, device, frozen_model
    )
