"""Attention's kernels compiled for GPUs that are not there; run by test_attention.py apart."""

import pytest

from fairseq_metro.kernels.ahead import ARCHITECTURES, DESKTOP, SHARED_LIMIT, compile_ahead
from fairseq_metro.kernels.attention_ahead import KERNELS, USES, arguments, small_kernels

# Bytes of stack of a thread, where numbers go that find no register: a few of some 250. The encoder's
# attention takes 72 on sm_80 by Triton 3.6, 32 by 3.9, and none on sm_90 and sm_100.
SPILL = {80: 80, 90: 64, 100: 64}


def check(kernel, names, options, capability):
    _, taken = compile_ahead(kernel, names, capability, **options)
    assert 0 < taken.registers <= 255
    assert taken.shared <= SHARED_LIMIT[capability]
    if capability in SPILL:  # of desktops: that they fit the shared memory
        assert taken.stack <= SPILL[capability], f"{taken} of {options}"


@pytest.mark.parametrize("capability", ARCHITECTURES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_encoders_attention_compiles_within_the_limits(kernel, capability):
    check(KERNELS[kernel], *arguments(kernel, capability), capability)


@pytest.mark.parametrize("place", range(2))
def test_the_small_kernels_compile(place):
    check(*small_kernels()[place], {}, 90)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [*ARCHITECTURES, *DESKTOP])
@pytest.mark.parametrize(
    "dtype, dim", [("bf16", 64), ("fp16", 128), ("bf16", 32), ("fp32", 64), ("fp32", 128)]
)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_configuration_compiles_within_the_limits(kernel, use, dtype, dim, capability):
    for even, dropout in ((True, False), (False, True)):
        names, options = arguments(kernel, capability, dtype, dim, use, dropout, even)
        check(KERNELS[kernel], names, options, capability)
