"""fairseq-metro cache-teacher: what it keeps is what the teacher says; resumed, refused, whole."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.teacher_signals import CachedTopK, CachedVectors, OnlineTeachers
from fairseq_metro.data.intermediate_dataset import (
    IntermediateDataset,
    IntermediatePrompts,
    read_intermediate_stamp,
)
from fairseq_metro.data.teacher_targets import TAGS, TeacherCache
from fairseq_metro.interchange.teachers import load_teachers
from fairseq_metro.prepare import teacher_cache
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.distillation import make_data, write_teacher


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher") / "run")


def write(data, teacher, dest, *options):
    words = [str(data), "--teacher", str(teacher), "--dest", str(dest), *options]
    assert teacher_cache.main(words) == 0
    return dest


def contents(folder):
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    facts = json.loads(found.pop(TAGS))
    return found, {name: facts[name] for name in ("teachers", "vocabulary", "data", "stored")}


def sample_of(data, cache, *indices):
    """A batch with what the cache says of it."""
    mask = Vocabulary.load(data / "vocab").index("mask")
    prompts = IntermediatePrompts(data, "train", mask)
    targets = [cache.split("train", len(prompts))]
    made = IntermediateDataset(prompts, pad=1, seed=1, shuffle=False, targets=targets)
    return made.collater([made[index] for index in indices])


def online(data, teacher, sample, temperature=1.0):
    teachers = load_teachers([teacher], Vocabulary.load(data / "vocab"), "roberta")
    return OnlineTeachers(teachers, temperature)(sample, torch.zeros(1))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_vectors_give_the_teachers_distribution_back(data, teacher, tmp_path, temperature):
    cache = TeacherCache(write(data, teacher, tmp_path / "c"), read_intermediate_stamp(data))
    sample = sample_of(data, cache, 59, 0, 31, 7)
    assert sample["teacher"][0]["vectors"].dtype == torch.float16
    expected = online(data, teacher, sample, temperature)
    found = CachedVectors([cache.output_layer()], temperature)(sample, torch.zeros(1))
    torch.testing.assert_close(found.log_q.exp(), expected.log_q.exp(), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.entropy(), expected.entropy(), rtol=0, atol=1e-3)
    assert found.likeliest().tolist() == expected.likeliest().tolist()


def test_top_k_gives_the_likeliest_symbols_and_the_rest_back(data, teacher, tmp_path):
    folder = write(data, teacher, tmp_path / "c", "--cache", "top-k", "--k", "4")
    cache = TeacherCache(folder, read_intermediate_stamp(data))
    sample = sample_of(data, cache, 59, 0, 31)
    found = CachedTopK()(sample, torch.zeros(1))
    q = online(data, teacher, sample).log_q.exp()
    values, ids = q.topk(4)
    assert found.ids.tolist() == ids.tolist()
    rest = 1 - values.sum(-1, keepdim=True)
    torch.testing.assert_close(found.log_q.exp(), torch.cat((values, rest), -1), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.log_q.exp().sum(-1), torch.ones(3))


def test_several_teachers_are_averaged_before_their_likeliest_symbols(data, teacher, tmp_path):
    other = write_teacher(tmp_path / "other", seed=1)
    folder = write(data, f"{teacher}:{other}", tmp_path / "c", "--cache", "top-k", "--k", "3")
    cache = TeacherCache(folder, read_intermediate_stamp(data))
    sample = sample_of(data, cache, 5, 6)
    mean = sum(online(data, each, sample).log_q.exp() for each in (teacher, other)) / 2
    assert CachedTopK()(sample, torch.zeros(1)).ids.tolist() == mean.topk(3).indices.tolist()
    with pytest.raises(UserError, match=r"several teachers: give --cache top-k"):
        write(data, f"{teacher}:{other}", tmp_path / "no")


@given(st.integers(0, 99), st.integers(1, 7))
def test_top_k_of_any_distribution(seed, k):
    logits = 4 * torch.randn(3, 7, generator=torch.Generator().manual_seed(seed))
    found = teacher_cache.top_k(logits.log_softmax(-1), k)
    mass = np.exp(found["logp"].astype(np.float64))
    assert np.abs(mass.sum(1) - 1).max() < 5e-3 and (np.diff(mass[:, :-1]) <= 0).all()
    assert (mass[:, -1] == 0).all() == (k == 7)


def test_an_interrupted_run_goes_on_and_its_bytes_are_those_of_one_run(
    data, teacher, tmp_path, monkeypatch
):
    monkeypatch.setattr(teacher_cache, "CHUNK", 16)
    whole, dest = write(data, teacher, tmp_path / "whole"), tmp_path / "cut"
    original, calls = teacher_cache.stored_values, []

    def dies(*arguments):
        calls.append(arguments[2])
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(teacher_cache, "stored_values", dies)
    with pytest.raises(KeyboardInterrupt):
        write(data, teacher, dest, "--max-tokens", "400")
    assert not dest.exists()
    before, calls[:] = len(calls), [None] * 10
    write(data, teacher, dest, "--max-tokens", "400")
    again = np.concatenate(calls[10:])
    assert before == 6 and len(again) < 72  # what was whole is not asked again
    assert sorted(path.name for path in dest.iterdir()) == sorted(p.name for p in whole.iterdir())
    for name in ("train.vectors.npy", "valid.vectors.npy"):
        a, b = (np.load(folder / name) for folder in (dest, whole))
        np.testing.assert_allclose(a.astype(float), b.astype(float), atol=5e-3)
    monkeypatch.setattr(teacher_cache, "stored_values", original)
    same = write(data, teacher, tmp_path / "same", "--max-tokens", "400")
    assert contents(same) == contents(dest)
    assert not list(tmp_path.glob(".*building"))


def test_a_finished_cache_is_kept_and_another_teachers_refused(data, teacher, tmp_path, caplog):
    dest = write(data, teacher, tmp_path / "c")
    before = contents(dest)
    caplog.set_level("INFO")
    write(data, teacher, dest)
    assert "finished already, kept" in caplog.text and contents(dest) == before
    other = write_teacher(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="a cache of teacher"):
        write(data, other, dest)
    with pytest.raises(UserError, match="give another --dest"):
        write(data, teacher, dest, "--cache", "top-k")
    for words, message in (
        (["--k", "3"], "--k says nothing of vectors"),
        (["--cache", "top-k", "--k", "0"], "--k is 0, must be 1 to"),
    ):
        with pytest.raises(UserError, match=message):
            write(data, teacher, tmp_path / "d", *words)
    with pytest.raises(UserError, match=r"no such file or folder"):
        write(data, tmp_path / "nowhere", tmp_path / "d")


def test_the_command_by_itself(data, tmp_path, root):
    command = [sys.executable, "-m", "fairseq_metro", "cache-teacher"]
    done = subprocess.run(
        [*command, str(data), "--teacher", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode != 0 and len(done.stderr.strip().splitlines()) == 1
    assert "--teacher" in done.stderr and "Traceback" not in done.stderr


def test_unknown_characters_of_the_prompts_are_told(teacher, tmp_path, caplog):
    (tmp_path / "pairs").mkdir()
    folder = make_data(tmp_path / "pairs")
    path = folder / "intermediate.json"
    stamp = json.loads(path.read_text())
    for facts in stamp["splits"].values():
        facts |= {"characters": 1000, "unknown_characters": 600}
    path.write_text(json.dumps(stamp))
    with pytest.raises(UserError, match=r"data/train: 60.00% of the characters.*--allow-unknown"):
        write(folder, teacher, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with caplog.at_level("WARNING"):
        write(folder, teacher, tmp_path / "cache", "--allow-unknown")
    assert "/valid: 60.00% of the characters" in caplog.text
