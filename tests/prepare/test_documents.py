"""Corpora in the formats they come in, to documents of plain text."""

import contextlib
import gzip
import json
import lzma
import os
import subprocess
import sys

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare import document_files, documents
from fairseq_metro.prepare.inputs import lines
from fairseq_metro.prepare.intermediate import growing
from tests.common.sources.packing import in_tar

LONG = "It was a quiet morning on the river, and nobody had yet seen the boats come in. "


def story(i):
    return f"{LONG}Document number {i} begins here.\n{LONG * 2}"


def run(out, *sources, **options):
    words = ["--source", *map(str, sources), "--out", str(out)]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return documents.main(words)


def written(out, split="train"):
    """The documents of a split, as lists of paragraphs."""
    text = "\n".join(lines(sorted((out / split).glob("*.zst")))).strip("\n")
    return [block.split("\n") for block in text.split("\n\n") if block]


def test_all_formats_give_the_same_documents(tmp_path):
    stories = [story(i) for i in range(5)]
    (tmp_path / "a.txt").write_text("\n\n".join(stories))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps({"text": text, "title": "x"}) + "\n" for text in stories)
    for i, text in enumerate(stories):
        (tmp_path / f"book{i}.txt").write_text(text.replace("\n", "\n\n"))
    run(tmp_path / "txt", tmp_path / "a.txt", valid_share=0)
    run(tmp_path / "json", tmp_path / "b.jsonl.gz", valid_share=0)
    run(tmp_path / "files", tmp_path / "book*.txt", valid_share=0, documents="file")
    expected = [[" ".join(line.split()) for line in text.split("\n")] for text in stories]
    assert written(tmp_path / "txt") == written(tmp_path / "json") == expected
    assert written(tmp_path / "files") == expected


def test_parquet_is_read_with_pyarrow(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pyarrow.table({"text": [story(i) for i in range(3)]})
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    run(tmp_path / "out", tmp_path / "a.parquet", valid_share=0)
    assert len(written(tmp_path / "out")) == 3


def test_parquet_without_pyarrow_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="pip install pyarrow"):
        list(documents.read_documents(str(tmp_path / "a.parquet")))


def test_a_hub_out_of_reach_is_one_line(monkeypatch):
    class Datasets:
        @staticmethod
        def load_dataset(name, config, split, streaming):
            assert (name, config, split, streaming) == ("some/name", "20231101.en", "train", True)
            raise ConnectionError("no route\nto the hub")

    monkeypatch.setitem(sys.modules, "datasets", Datasets)
    with pytest.raises(UserError, match=r"not read from the hub \(no route\)"):
        list(documents.read_documents("hf:some/name:20231101.en"))


def test_rows_of_a_hub_data_set_are_read(monkeypatch):
    class Datasets:
        @staticmethod
        def load_dataset(name, config, split, streaming):
            return iter([{"text": story(0)}, {"text": story(1)}])

    monkeypatch.setitem(sys.modules, "datasets", Datasets)
    assert list(documents.read_documents("hf:some/name")) == [story(0), story(1)]


def test_short_and_repeated_documents_are_left_out_across_files(tmp_path):
    (tmp_path / "a.txt").write_text(f"{story(1)}\n\ntoo short\n\n{story(2)}")
    (tmp_path / "b.txt").write_text(f"{story(2).upper()}\n\n{story(3)}")
    run(tmp_path / "out", tmp_path / "a.txt", tmp_path / "b.txt", valid_share=0)
    assert len(written(tmp_path / "out")) == 3
    done = json.loads((tmp_path / "out" / "documents.json").read_text())["done"]
    assert [d["short"] for d in done] == [1, 0] and [d["duplicates"] for d in done] == [0, 1]
    run(tmp_path / "all", tmp_path / "*.txt", valid_share=0, keep_duplicates=True)
    assert len(written(tmp_path / "all")) == 4


def test_held_out_documents_are_chosen_by_their_text(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join(story(i) for i in range(300)))
    (tmp_path / "b.txt").write_text("\n\n".join(story(i) for i in reversed(range(300))))
    run(tmp_path / "one", tmp_path / "a.txt", valid_share=0.2)
    run(tmp_path / "two", tmp_path / "b.txt", valid_share=0.2)
    valid = {tuple(d) for d in written(tmp_path / "one", "valid")}
    assert valid == {tuple(d) for d in written(tmp_path / "two", "valid")}
    assert 30 < len(valid) < 90
    assert not valid & {tuple(d) for d in written(tmp_path / "one")}


def test_an_interrupted_conversion_goes_on_with_the_next_file(tmp_path, monkeypatch):
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text(f"{story(i)}\n\n{story(max(0, i - 1))}")
    run(tmp_path / "whole", tmp_path / "*.txt")
    stock, calls = documents.convert, []

    def breaks(source, *rest):
        calls.append(int(source[-5]))
        if calls == [0, 1, 2]:
            raise KeyboardInterrupt
        return stock(source, *rest)

    monkeypatch.setattr(documents, "convert", breaks)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", tmp_path / "*.txt")
    run(tmp_path / "parts", tmp_path / "*.txt")
    assert calls == [0, 1, 2, 2, 3]
    for split in ("train", "valid"):
        assert written(tmp_path / "parts", split) == written(tmp_path / "whole", split)
    names = [sorted(p.name for p in (tmp_path / n).rglob("*")) for n in ("parts", "whole")]
    assert names[0] == names[1] == ["00000.txt.zst"] * 2 + ["documents.json", "train", "valid"]


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("a.jsonl", '{"body": "x"}\n', "no text in field 'text' .there is: body.; give --field"),
        ("a.jsonl", "{broken\n", "line 1: not JSON"),
        ("a.txt", "short\n", "no document left"),
        ("a.txt", None, "no such file"),
    ],
)
def test_mistakes_are_one_line(name, content, problem, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=problem):
        run(tmp_path / "out", tmp_path / name)


def test_other_settings_need_another_folder(tmp_path):
    (tmp_path / "a.txt").write_text(story(1))
    run(tmp_path / "out", tmp_path / "a.txt", valid_share=0)
    with pytest.raises(UserError, match="other sources or settings"):
        run(tmp_path / "out", tmp_path / "a.txt", valid_share=0, min_characters=10)


def test_a_plan_tells_disk_and_time_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("\n\n".join(story(i) for i in range(50)))
    run(tmp_path / "out", tmp_path / "a.txt", plan=True)
    said = capsys.readouterr().out
    assert "billion tokens" in said and "minutes" in said
    assert not (tmp_path / "out").exists()


MIX = ["WIKI", "BOOKS", "NEWS", "WEB", "STORIES"]


@pytest.fixture
def mix(root, tmp_path):
    """Runs corpus_mix160.sh on a python that notes its calls: (CompletedProcess, calls)."""
    record = tmp_path / "record"
    for name, text in (("python", f'echo "$@" >> "{record}"'), ("fairseq-train", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    sources = {name: f"{name.lower()}/*.jsonl" for name in MIX}

    def run(**changes):
        record.unlink(missing_ok=True)
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OUT": "out", "WORKERS": "3"}
        done = subprocess.run(
            ["bash", str(root / "preprocess" / "corpus_mix160.sh")], cwd=tmp_path, text=True,
            env=env | sources | changes, capture_output=True, timeout=60,
        )  # fmt: skip
        calls = record.read_text().splitlines() if record.exists() else []
        return done, [call.removeprefix("-m fairseq_metro ") for call in calls]

    return run


def test_the_mix_of_160_gb_is_five_sources_and_64_000_cased_pieces(mix, tmp_path):
    for split in ("train", "valid"):
        (tmp_path / "out/documents" / split).mkdir(parents=True)
        (tmp_path / "out/documents" / split / "0.zst").touch()
    done, (documents, vocabulary, binarize) = mix()
    assert done.returncode == 0, done.stderr
    sources = " ".join(f"{name.lower()}/*.jsonl" for name in MIX)  # patterns as they are typed
    assert documents == f"documents --source {sources} --out out/documents"
    assert vocabulary == (
        "vocabulary --input out/documents/train/0.zst --out out/vocab --vocab-size 64000 "
        "--normalization metro"
    )
    assert binarize == (
        "binarize --vocab out/vocab --train out/documents/train/0.zst --valid "
        "out/documents/valid/0.zst --dest out/data --shards 32 --workers 3"
    )
    _, (_, vocabulary, binarize) = mix(VOCAB_SIZE="500", SHARDS="2")
    assert "--vocab-size 500 " in vocabulary and "--shards 2 " in binarize


def test_a_plan_of_the_mix_makes_nothing(mix):
    done, calls = mix(PLAN="1")
    assert done.returncode == 0, done.stderr
    assert len(calls) == 1 and calls[0].startswith("documents ") and calls[0].endswith(" --plan")


@pytest.mark.parametrize("name", [*MIX, "OUT"])
def test_a_source_of_the_mix_that_is_not_set_is_one_line(name, mix):
    done, calls = mix(**{name: ""})
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode != 0 and calls == [] and f"{name}: " in line


def test_the_wikipedia_and_books_script_goes_from_files_to_shards(tmp_path, root):
    pages = [{"text": story(i) + f"\nPage {i} has its own words: {'abcdefg'[i % 7] * 3}."}
             for i in range(400)]  # fmt: skip
    (tmp_path / "wiki.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    (tmp_path / "book.txt").write_text("\n\n".join(story(1000 + i) for i in range(200)))
    env = {**os.environ, "PATH": f"{sys.exec_prefix}/bin:{os.environ['PATH']}", "WORKERS": "1"}
    env |= {"WIKI": str(tmp_path / "*.jsonl"), "BOOKS": str(tmp_path / "book.txt")}
    env |= {"OUT": str(tmp_path / "out"), "VOCAB_SIZE": "70", "SHARDS": "2"}
    script = ["bash", str(root / "preprocess" / "corpus_wikibooks.sh")]
    # One document in a thousand is held out: with 600 none may be, so the split is made larger.
    wrapper = tmp_path / "python"
    wrapper.write_text(
        f'#!/bin/sh\ncase $1 in *documents.py) set -- "$@" --valid-share 0.1;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    wrapper.chmod(0o755)
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    done = subprocess.run(script, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for shard in ("shard0", "shard1"):
        assert (tmp_path / "out" / "data" / shard / "train.bin").stat().st_size > 1000
    settings = json.loads((tmp_path / "out" / "vocab" / "tokenizer.json").read_text())
    assert settings["lowercase"] is True and settings["normalization"] == "metro"


# Files from elsewhere, and many of them


def test_bad_rows_are_counted_shown_and_limited(tmp_path, capsys):
    rows = [json.dumps({"text": story(i)}) for i in range(8)]
    rows[2:2] = ['{"text": null}', "cut off"]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    run(tmp_path / "out", tmp_path / "a.jsonl", valid_share=0)
    assert len(written(tmp_path / "out")) == 8
    assert "2 of 10 rows were left out: 1 null, 1 not JSON (the first: " in capsys.readouterr().err
    assert json.loads((tmp_path / "out/documents.json").read_text())["done"][0]["bad"] == 2
    with pytest.raises(UserError, match=r"line 3: null in field 'text'; 2 of 4 .*max-bad-rows"):
        run(tmp_path / "none", tmp_path / "a.jsonl", max_bad_rows=1)
    assert not (tmp_path / "none").exists()
    run(tmp_path / "some", tmp_path / "a.jsonl", max_bad_rows="20%")


def test_lone_surrogates_become_a_character_and_are_told_once(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": f"\ud83d{story(1)}"}))
    run(tmp_path / "out", tmp_path / "a.jsonl", valid_share=0)
    assert written(tmp_path / "out")[0][0].startswith("\ufffdIt was")
    assert capsys.readouterr().err.count("1 lone surrogate was replaced by U+FFFD") == 1


def test_folders_patterns_and_archives_are_sources(tmp_path):
    (tmp_path / "wiki/AA").mkdir(parents=True)
    (tmp_path / "wiki/AA/wiki_00").write_text(json.dumps({"text": story(0)}))
    (tmp_path / "wiki/AA/wiki_01").write_text(
        f'<doc id="1" url="u" title="t">\nA title\n\n{story(1)}\n\n</doc>\n'
    )
    (tmp_path / "web.TAR.XZ").write_bytes(lzma.compress(in_tar({"a.txt": story(2).encode()})))
    (tmp_path / "a[1].txt").write_text(story(3))
    (tmp_path / "a1.txt").write_text(story(4))
    sources = [tmp_path / "wiki", tmp_path / "*.XZ", tmp_path / "a[1].txt"]
    run(tmp_path / "out", *sources, valid_share=0)
    texts = ["\n".join(document) for document in written(tmp_path / "out")]
    assert [f"number {i} " in text for i, text in enumerate(texts)] == [True] * 4
    assert "A title" in texts[1]


def test_few_files_are_written_however_many_sources_there_are(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for i in range(60):
        (tmp_path / f"in/{i:02d}.txt").write_text(story(i))
    run(tmp_path / "out", tmp_path / "in", valid_share=0.2)
    names = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(names) == ["00000.txt.zst", "00000.txt.zst", "documents.json"]
    monkeypatch.setattr(document_files, "PART_BYTES", 1000)
    run(tmp_path / "parts", tmp_path / "in", valid_share=0.2)
    parts = sorted(path.name for path in (tmp_path / "parts/train").iterdir())
    assert len(parts) > 3 and parts == [f"{i:05d}.txt.zst" for i in range(len(parts))]
    for split in ("train", "valid"):
        assert written(tmp_path / "parts", split) == written(tmp_path / "out", split)


def test_the_record_is_not_written_again_with_each_source(tmp_path, monkeypatch):
    """Work for a source is the same whether it is the tenth or the ten thousandth."""
    (tmp_path / "in").mkdir()
    for i in range(300):
        (tmp_path / f"in/{i:03d}.txt").write_text(story(i))
    sizes, write_json = [], documents.write_json

    def count(path, value):
        sizes.append(len(json.dumps(value)))
        write_json(path, value)

    monkeypatch.setattr(documents, "write_json", count)
    monkeypatch.setattr(growing, "write_json", count)
    run(tmp_path / "out", tmp_path / "in")
    assert len(sizes) < 10 and sum(sizes) < 3 * max(sizes)


def test_a_conversion_killed_at_any_moment_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for i in range(12):
        (tmp_path / f"in/{i:02d}.txt").write_text(f"{story(i)}\n\n{story(i // 2)}")
    monkeypatch.setattr(document_files, "PART_BYTES", 500)
    monkeypatch.setattr(growing, "EVERY", 0)
    run(tmp_path / "whole", tmp_path / "in", valid_share=0.3)

    keep = document_files.DocumentFiles.keep

    class Killed(BaseException):
        pass

    for stop in range(0, 60, 3):
        left, out = [stop], tmp_path / f"out{stop}"

        def die(stock, left=left):
            def step(*arguments):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                return stock(*arguments)

            return step

        with pytest.MonkeyPatch.context() as patch:
            files = document_files.DocumentFiles
            for name in ("write", "add_hash", "end_source", "put_in_place"):
                patch.setattr(files, name, die(getattr(files, name)))
            # A kill tidies up nothing and brings nothing to disk.
            patch.setattr(files, "keep", lambda self, finished=False: finished and keep(self, True))
            patch.setattr(documents, "remove", lambda *_: None)
            patch.setattr(documents.os, "replace", die(documents.os.replace))
            with contextlib.suppress(Killed):
                run(out, tmp_path / "in", valid_share=0.3)
        run(out, tmp_path / "in", valid_share=0.3)
        for split in ("train", "valid"):
            names = sorted(path.name for path in (tmp_path / "whole" / split).iterdir())
            assert sorted(path.name for path in (out / split).iterdir()) == names
            for name in names:
                whole = (tmp_path / "whole" / split / name).read_bytes()
                assert (out / split / name).read_bytes() == whole, (stop, name)
        assert sorted(path.name for path in out.iterdir()) == ["documents.json", "train", "valid"]


def test_an_unfinished_conversion_of_other_sources_is_not_mixed_in(tmp_path, monkeypatch):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(story(i))
    monkeypatch.setattr(documents, "convert", fails_at(documents.convert, 2))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", tmp_path / "*.txt")
    monkeypatch.undo()
    with pytest.raises(UserError, match="other sources or settings"):
        run(tmp_path / "out", tmp_path / "0.txt")
    (tmp_path / "mine/train").mkdir(parents=True)
    (tmp_path / "mine/train/thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="holds other files"):
        run(tmp_path / "mine", tmp_path / "0.txt")


def fails_at(stock, number):
    calls = []

    def convert(*arguments):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return stock(*arguments)

    return convert


def test_what_can_be_read_only_once_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "pipe", "-", "/dev/zero"):
        with pytest.raises(UserError, match=r"pipe, not a file|cannot be read twice|is a device"):
            run(tmp_path / "out", source)
    assert not (tmp_path / "out").exists()
