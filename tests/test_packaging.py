"""The wheel and the sdist: what is in them, and that they install and work on each Python here."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from fairseq_metro import __version__

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ("3.11", "3.12", "3.13")
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, "build_" + sys.argv[1])(sys.argv[2]))
"""


def sources():
    """The package's files that git knows, or all but caches where there is no git folder."""
    if (ROOT / ".git").exists():
        words = ["git", "ls-files", "fairseq_metro"]
        said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        return set(said.stdout.split("\n")) - {""}
    found = (ROOT / "fairseq_metro").rglob("*")
    return {str(p.relative_to(ROOT)) for p in found if p.is_file() and "__pycache__" not in p.parts}


def build(kind, tree, out):
    """Path of the wheel or sdist of a source tree, built without network."""
    out.mkdir(exist_ok=True)
    words = [sys.executable, "-W", "ignore", "-c", BUILD, kind, str(out)]
    said = subprocess.run(words, cwd=tree, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-2000:]
    return out / said.stdout.strip().split("\n")[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, sdist, wheel made of the unpacked sdist)."""
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in sources():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    sdist = build("sdist", tree, folder / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    wheels = build("wheel", tree, folder / "dist"), build("wheel", unpacked, folder / "again")
    return wheels[0], sdist, wheels[1]


def test_the_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[0]) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == sources()
    assert built[0].name == f"fairseq_metro-{__version__}-py3-none-any.whl"


def test_the_sdist_gives_the_same_wheel(built):
    contents = []
    for path in (built[0], built[2]):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
            contents.append({name: archive.read(name) for name in names})
    assert contents[0].keys() == contents[1].keys()
    assert all(contents[0][name] == contents[1][name] for name in contents[0])


def interpreter(version):
    """A Python of a version on PATH that runs, or a skip."""
    name = f"python{version}"
    found = shutil.which(name)
    runs = found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0
    if not runs:
        pytest.skip(f"no {name} on this machine")
    return found


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_python_compiles_and_names_it(version, built, tmp_path):
    """Without the packages it needs: syntax, version and commands."""
    python = interpreter(version)
    subprocess.run([python, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import compileall, importlib.metadata as m, sys; site = sys.argv[1]\n"
        "sys.path.insert(0, site)\n"
        "assert compileall.compile_dir(site, quiet=1, force=True)\n"
        "print(m.version('fairseq_metro'), len(m.entry_points(group='console_scripts')))"
    )
    words = [str(tmp_path / "v" / "bin" / "python"), "-c", code, str(tmp_path / "site")]
    said = subprocess.run(words, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split() == [__version__, "1"]


@pytest.mark.slow
@pytest.mark.timeout(3000)  # a busy machine compiles fairseq for long
@pytest.mark.parametrize("version", SUPPORTED)
def test_it_works_in_a_fresh_environment(version, built, tmp_path):
    """The pinned packages and the wheel, nothing of this clone: commands, and a training."""
    python = interpreter(version)
    tree = tmp_path / "clone"
    (tree / "train_scripts").mkdir(parents=True)
    for name in ("train_scripts/environment.sh", "setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy(path, tree)
    shutil.copytree(ROOT / "fairseq_metro", tree / "fairseq_metro")
    script = (
        "set -euo pipefail; source train_scripts/environment.sh; pip uninstall -q -y fairseq_metro; "
        f"pip install -q --no-deps {built[0]}; mv fairseq_metro elsewhere; fairseq-metro --version; "
        "folder=$(python -W ignore -c "
        "'import fairseq_metro, os; print(os.path.dirname(fairseq_metro.__file__))'); echo $folder; "
        "head -n 110 README.md > a.txt; tail -n +111 README.md > b.txt; "
        "fairseq-metro vocabulary --input README.md --out vocab --vocab-size 300; "
        "fairseq-metro binarize --vocab vocab --train a.txt --valid b.txt --dest bin; "
        "fairseq-train bin --user-dir $folder --task metro_t5 --arch metro_t5_tiny "
        "--criterion metro_t5 --optimizer fused_adam --lr 1e-3 --cpu --max-update 2 "
        "--max-tokens 512 --tokens-per-sample 64 --save-dir run; test -s run/checkpoint_last.pt"
    )
    env = {**os.environ, "PYTHON": python}
    words = ["bash", "-c", script]
    said = subprocess.run(words, cwd=tree, env=env, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout[-2000:] + said.stderr[-2000:]
    assert f"fairseq-metro {__version__}" in said.stdout
    assert f"python{version}/site-packages/fairseq_metro" in said.stdout


def test_version_stands_in_one_place():
    found = [
        path.name
        for path in ROOT.glob("*.*")
        if path.is_file() and f'"{__version__}"' in path.read_text("utf-8", "replace")
    ]
    assert found == []
