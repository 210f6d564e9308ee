"""Package data and console commands of fairseq_metro; a clone works without installing it."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"',
    (ROOT / "fairseq_metro" / "common" / "stamp.py").read_text("utf-8"),
    re.M,
).group(1)

setup(
    name="fairseq_metro",
    version=VERSION,
    description="METRO-T5 pretraining as a fairseq plugin, from raw text to a checkpoint",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["fairseq_metro", "fairseq_metro.*"]),
    package_data={"": ["*.json", "**/*.yaml", "*.yml"]},
    install_requires=[
        "charset-normalizer>=3.3",  # names the encoding of text that is not UTF-8
        "fairseq-fixed==0.12.3.1",
        "Jinja2>=3.1.6",  # its sandbox has had holes mended
        "matplotlib>=3.8",
        "numpy>=1.26",
        "protobuf>=4",
        "PyYAML>=6.0",
        "safetensors>=0.4",
        "sentencepiece>=0.2",
        "tensorboardX>=2.6",
        "torch>=2.6",
        "zstandard>=0.22",
    ],
    extras_require={
        "parquet": ["pyarrow"],
        "test": ["hypothesis", "pytest", "pytest-timeout", "pytest-xdist", "ruff"],
    },
    entry_points={
        "console_scripts": [
            "fairseq-metro = fairseq_metro.cli:main",
        ],
        # lm-evaluation-harness from the version on that looks for it; else: fairseq-metro lm-eval
        "lm_eval.models": ["fairseq_metro = fairseq_metro.evaluate.harness:FairseqMetroLM"],
    },
)
