"""Which version of an operation runs: fused (Triton) or reference (torch alone).

``FAIRSEQ_METRO_KERNELS`` says it: ``auto`` (the default: fused on a GPU that can, reference
elsewhere), ``fused``, ``reference``, or a choice for single operations, ``attention=reference,
head_loss=fused``; operations left out of such a list are ``auto``. What others have made is asked for
by name alone: ``residual_norm=apex``, apex's LayerNorm, and ``layers=compiled``, torch.compile of what
is left of a layer in training. It is no option of fairseq, so no checkpoint carries it to another
machine. What is decided is logged once for every operation.
"""

import difflib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil

import torch

from fairseq_metro.common.errors import UserError

VARIABLE = "FAIRSEQ_METRO_KERNELS"
OPERATIONS = ("attention", "residual_norm", "head_loss")
CHOICES = ("auto", "fused", "reference")
KNOWN = {  # what may be said of each
    **dict.fromkeys(OPERATIONS, CHOICES),
    "residual_norm": (*CHOICES, "apex"),
    "layers": ("auto", "compiled", "reference"),
}
OTHERS = {"apex": "residual_norm", "compiled": "layers"}
OLDEST = (8, 0)  # compute capability of the A100, the oldest that the kernels are compiled for
OLDEST_TRITON = (3, 6)  # the one of torch 2.11, the oldest that the kernels are tested with

logger = logging.getLogger(__name__)
_decided: dict[str, str] = {}


def parse(text):
    """The choice of every operation, and of the layers, in a value of the variable: {name: choice}.

    Raises :class:`UserError` for an unknown word.

    >>> parse("attention=fused, layers=compiled")
    {'attention': 'fused', 'residual_norm': 'auto', 'head_loss': 'auto', 'layers': 'compiled'}
    >>> list(parse("reference").values())
    ['reference', 'reference', 'reference', 'auto']
    """
    words = [word.strip() for word in (text or "auto").split(",") if word.strip()]
    chosen = dict.fromkeys(KNOWN, "auto")
    if len(words) == 1 and "=" not in words[0]:
        return {**chosen, **dict.fromkeys(OPERATIONS, _known(words[0], CHOICES, text))}
    for word in words:
        name, _, choice = (part.strip() for part in word.partition("="))
        name = _known(name, KNOWN, text)
        chosen[name] = _known(choice, KNOWN[name], text)
    return chosen


def _known(word, known, text):
    if word in known:
        return word
    near = difflib.get_close_matches(word, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    others = ", ".join(f"{name}={other}" for other, name in OTHERS.items())
    raise UserError(
        f"{VARIABLE}={text!r}: {word!r} is unknown; {meant}it is one of {', '.join(CHOICES)}, or "
        f"OPERATION=CHOICE,... with operations {', '.join(OPERATIONS)}; {others}, too"
    )


def interpreted():
    """Whether Triton runs its kernels in its interpreter here; False where it is not installed.

    ``TRITON_INTERPRET=1`` must be set before the kernels are imported.
    """
    return os.environ.get("TRITON_INTERPRET", "0") in ("1", "true", "on") and has_triton()


def has_triton():
    """Whether Triton is installed, found without importing it."""
    return importlib.util.find_spec("triton") is not None


def triton_version():
    """Of the installed Triton; imported only where its distribution has another name (nightlies)."""
    try:
        return importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return importlib.import_module("triton").__version__


def obstacle(device_type):
    """Why no fused kernel can run on a kind of device, as words for one line, or None."""
    if not has_triton():
        return "Triton is not installed (it comes with torch for CUDA)"
    version = triton_version()
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_TRITON:
        return f"Triton {version} is older than 3.6"
    if interpreted():
        return None
    if device_type != "cuda":
        return f"the device is {device_type!r} and Triton runs there in its interpreter only"
    if torch.version.hip:
        return "the kernels are for NVIDIA GPUs"
    capability = torch.cuda.get_device_capability()
    if capability < OLDEST:
        name = torch.cuda.get_device_name()
        return f"{name} has compute capability {capability[0]}.{capability[1]}, below 8.0"
    return None


def fused(operation, device_type, unfit=None):
    """Whether the fused version of ``operation`` is to run on a device of type ``device_type``.

    unfit: why the fused version cannot take what it is given (a type, a size), or None. The answer
    for each of these is found once and logged once; a program that changes the variable later calls
    :func:`forget`. ``torch.compile`` takes the answer as a constant.

    Raises :class:`UserError` where the fused version is asked for and cannot run.
    """
    key = operation, device_type, unfit
    if key not in _decided:
        _decided[key] = _decide(operation, device_type, unfit)
    return _decided[key]


fused = torch.compiler.assume_constant_result(fused)


def asked(word, device_type):
    """Whether what another has made is to run on a device of type ``device_type``: apex's LayerNorm
    ("apex"), layers by torch.compile ("compiled"). Found and logged once.

    Raises :class:`UserError` where it is asked for and cannot run.
    """
    name = OTHERS[word]
    key = name, device_type, word
    if key not in _decided:
        wanted = parse(os.environ.get(VARIABLE))[name] == word
        if wanted and (missing := _missing(word, device_type)):
            raise UserError(
                f"{VARIABLE} asks for {name}={word}, but {missing}; set {name}=reference, or auto"
            )
        if wanted:
            logger.info("%s: %s; %s says so", name, word, VARIABLE)
        _decided[key] = wanted
    return _decided[key]


asked = torch.compiler.assume_constant_result(asked)


def _missing(word, device_type):
    """What there is not for ``asked``, as words for one line, or None."""
    if word == "apex":
        if importlib.util.find_spec("apex") is None:
            return "apex is not installed (https://github.com/NVIDIA/apex)"
        return (
            None if device_type == "cuda" else f"the device is {device_type!r}, and apex's is CUDA"
        )
    if device_type == "cuda" and not has_triton():
        return "Triton is not installed (it comes with torch for CUDA)"
    if device_type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        return "there is no C++ compiler (g++, or CXX=NAME)"
    return None


def forget():
    """Decide anew at the next call."""
    _decided.clear()


def _decide(operation, device_type, unfit):
    chosen = parse(os.environ.get(VARIABLE))[operation]
    if chosen in ("reference", *OTHERS):
        return _say(operation, False, f"{VARIABLE} says so")
    why_not = obstacle(device_type) or unfit
    if chosen == "fused":
        if why_not:
            raise UserError(
                f"{VARIABLE} asks for the fused version of {operation}, but {why_not}; set "
                f"{VARIABLE}={operation}=reference, or auto"
            )
        return _say(operation, True, f"{VARIABLE} says so")
    if device_type != "cuda":
        return _say(operation, False, f"the device is {device_type!r}", logging.DEBUG)
    return _say(operation, why_not is None, why_not or torch.cuda.get_device_name())


def _say(operation, answer, why, level=logging.INFO):
    version = "fused (Triton)" if answer else "reference (torch)"
    logger.log(level, f"{operation}: {version}; {why}")
    return answer
