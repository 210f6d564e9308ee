"""GPUs known to the planner: memory and peak rates."""

from dataclasses import dataclass

from fairseq_metro.common.errors import UserError


@dataclass(frozen=True)
class GPU:
    """memory in GiB; peaks in TFLOP/s, dense, of half precision and of float32."""

    name: str
    memory: float
    half: float
    single: float


GPUS = {
    gpu.name: gpu
    for gpu in (
        GPU("v100-16", 16, 125, 15.7),
        GPU("a100-40", 40, 312, 19.5),
        GPU("a100-80", 80, 312, 19.5),
        GPU("h100", 80, 989, 67),
        GPU("h200", 140, 989, 67),
    )
}


def gpu_named(text):
    """A :class:`GPU` from its name or from ``MEMORY_GB:TFLOPS``."""
    if text in GPUS:
        return GPUS[text]
    try:
        memory, peak = (float(number) for number in text.split(":"))
        if memory <= 0 or peak <= 0:
            raise ValueError
    except ValueError:
        raise UserError(
            f"--gpu is {text!r}, must be {', '.join(GPUS)}, or MEMORY_GB:TFLOPS such as 48:150"
        ) from None
    return GPU(text, memory, peak, peak)


def gpu_of(mib):
    """The kind of GPU whose memory is nearest; of two, the older."""
    return min(GPUS.values(), key=lambda gpu: abs(gpu.memory - mib / 1024))
