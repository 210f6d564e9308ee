"""Compiling a kernel for a GPU that is not there, and what the machine code takes of it."""

import inspect
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

# Shared memory that one block may have, in bytes (CUDA programming guide, compute capabilities).
SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024, 86: 99 * 1024, 120: 99 * 1024}
ARCHITECTURES = (80, 90, 100)  # A100, H100 and H200, B200
DESKTOP = (86, 120)  # RTX 3090, A10 (and, by the same limit, 4090 and L40S); RTX 5090


@dataclass(frozen=True)
class Resources:
    """Of one block: registers of a thread, bytes of shared memory, bytes of stack of a thread (where
    registers go that are too many)."""

    registers: int
    shared: int
    stack: int


def compile_ahead(kernel, arguments, capability, num_warps=4, num_stages=3):
    """Compile for a GPU that need not be there: (compiled kernel, :class:`Resources`).

    capability: of :data:`SHARED_LIMIT`. kernel: a ``triton.jit`` function. arguments: by name, a type
    as Triton writes it ("*bf16", "i32", "fp32"; with ":16" behind it where the launcher will find a
    multiple of 16) or the value of a constexpr. No GPU and no CUDA toolkit is needed; ptxas comes with
    Triton.
    """
    names = list(inspect.signature(kernel.fn).parameters)
    types, constants, attributes = {}, {}, {}
    for place, name in enumerate(names):
        value = arguments[name]
        if kernel.params[place].is_constexpr:
            types[name], constants[name] = "constexpr", value
        else:
            types[name], _, multiple = value.partition(":")
            if multiple:
                attributes[(place,)] = [["tt.divisibility", int(multiple)]]
    source = ASTSource(kernel, types, constants, attributes)
    target = GPUTarget("cuda", capability, 32)
    options = {"num_warps": num_warps, "num_stages": num_stages}
    compiled = triton.compile(source, target=target, options=options)
    usage = tool("cuobjdump", compiled.asm["cubin"], "-res-usage")
    registers, stack = (int(re.search(rf"{word}:(\d+)", usage)[1]) for word in ("REG", "STACK"))
    return compiled, Resources(registers, compiled.metadata.shared, stack)


def tool(name, cubin, *options):
    """What a tool of CUDA that comes with Triton (cuobjdump, nvdisasm) says of machine code."""
    binary = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    with TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        words = [str(binary), *options, str(path)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout
