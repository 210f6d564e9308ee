"""The whole model, fused against reference: see model_cases.py."""

import pytest

from tests.kernels.apart import run_apart


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("interpreter", [True, False], ids=["in the interpreter", "on a GPU"])
def test_training_is_the_references(interpreter):
    run_apart("model_cases.py", interpreter=interpreter)
