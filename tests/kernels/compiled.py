"""Compiling the shipped configurations of norm and head for GPUs that are not there."""

from fairseq_metro.kernels.ahead import SHARED_LIMIT, compile_ahead

STACK_LIMIT = 32  # bytes of a thread: nothing to speak of spills


def check(kernel, arguments, capability):
    """The kernel compiles, and fits the device."""
    arguments = dict(arguments)
    warps = arguments.pop("num_warps")
    compiled, used = compile_ahead(kernel, arguments, capability, num_warps=warps)
    assert compiled.asm["cubin"][:4] == b"\x7fELF"
    assert used.shared <= SHARED_LIMIT[capability], used
    assert used.registers * 32 * warps <= 2**16 and used.registers < 255, used
    assert used.stack <= STACK_LIMIT, used
