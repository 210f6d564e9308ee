"""yaml_files.py: a stranger's YAML is one line, and a plain one means what PyYAML says it means."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common import yaml_files
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import MOST_BYTES, load_yaml, plain_loader
from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.prompts.mixtures import load_mixture
from fairseq_metro.prompts.reading import read_templates
from fairseq_metro.prompts.task_data.catalogue import descriptions
from fairseq_metro.smash.groups import load_group
from fairseq_metro.smash.tasks import load_task

OWN = sorted((Path(yaml_files.__file__).parent.parent).rglob("*.yaml"))


def bombs(levels=9, width=9):
    """ "Billion laughs": each level stands for ``width`` times the one before."""
    lines = ["a0: &a0 [lol, lol, lol]"]
    for i in range(levels):
        lines.append(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * width)}]")
    return "\n".join(lines)


HOSTILE = {
    "nested lists": "[" * 100_000,
    "nested mappings": "{a: " * 20_000,
    "nested blocks": "\n".join(" " * i + "a:" for i in range(2_000)),
    "nested sequences": "- " * 50_000 + "x",
    "billion laughs": bombs(),
    "billion laughs of mappings": "a: &a {x: 1, y: 2}\n" + "\n".join(
        f"{chr(98 + i)}: &{chr(98 + i)} {{" + ", ".join(f"k{j}: *{chr(97 + i)}" for j in range(9)) + "}"
        for i in range(9)
    ),
    "billion laughs by merging": "a: &a {x: 1}\n" + "\n".join(
        f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [" + ", ".join([f"*{chr(97 + i)}"] * 9) + "]}"
        for i in range(9)
    ),
    "an alias inside itself": "a: &a [1, *a]",
    "an alias of nothing": "a: *b",
    "many values": "[" + "1, " * 300_000 + "1]",
    "a long number": "a: " + "9" * 100_000,
    "an explicit long number": "a: !!int '" + "9" * 100_000 + "'",
    "an explicit base 60": "a: !!int '1:30:00'",
    "no number": "a: !!float 'nothing'",
    "an object": "a: !!python/object/apply:os.system ['true']",
    "a name": "a: !!python/name:os.system ",
    "an explicit date": "a: !!timestamp 2001-99-99",
    "binary": "a: !!binary 'YQ=='",
    "a set": "a: !!set {b, c}",
    "a key twice": "a: 1\na: 2",
    "an unhashable key": "? [1, 2]\n: 3",
    "an unknown tag": "a: !mine 3",
    "a tab": "a:\n\t- b",
    "a directive": "%YAML 9.9\n---\na: 1",
    "two documents": "a: 1\n---\nb: 2",
    "a control character": "a: \x07",
    "a terminal's escape sequence": 'title: "\\e[31mred\\e[0m"',
    "a null byte": "a: \x00",
    "half a file": "a: [1, 2",
    "an open quote": 'a: "b',
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(name, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(HOSTILE[name], encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_yaml(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 400
    if name == "nested lists":
        assert "nested more than 50 deep" in message
    if name.startswith("billion"):
        assert "aliases counted as they are used" in message


@pytest.mark.parametrize(
    "reader",
    [
        read_templates,
        load_mixture,
        load_suite,
        load_group,
        load_task,
        lambda path: descriptions(path.parent),
    ],
    ids="templates mixture suite group task datasets".split(),
)
@pytest.mark.parametrize("name", ["nested lists", "billion laughs", "a long number", "an object"])
def test_every_reader_is_this_one(reader, name, tmp_path):
    path = tmp_path / "datasets.yaml"
    path.write_text(HOSTILE[name], encoding="utf-8")
    with pytest.raises(UserError, match=r"datasets\.yaml: line \d+"):
        reader(path)


def test_a_file_that_is_too_large_or_no_file_is_one_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(UserError, match="larger than 4 MiB"):
        load_yaml(path)
    path.write_bytes(b"a: \xff")
    with pytest.raises(UserError, match="not UTF-8 at byte 3"):
        load_yaml(path)
    with pytest.raises(UserError, match="not a file"):
        load_yaml(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        load_yaml(tmp_path / "none.yaml")


def test_numbers_of_base_60_and_dates_are_text(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "[1:30, 190:20:30.15, 2001-99-99, 2001-12-14, 0b11, 0x1F, 017, 12, -3, 1.5, .inf]"
    )
    assert load_yaml(path) == [
        "1:30", "190:20:30.15", "2001-99-99", "2001-12-14", "0b11", "0x1F", "017", 12, -3, 1.5,
        float("inf"),
    ]  # fmt: skip


def test_every_yaml_of_the_package_reads_as_pyyaml_reads_it():
    assert len(OWN) > 40
    for path in OWN:
        text = path.read_text("utf-8")
        if "!Template" not in text:
            assert load_yaml(path) == yaml.safe_load(text), path


text = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(value=plain)
def test_what_pyyaml_writes_is_read_as_pyyaml_reads_it(value, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "x.yaml"
    text = yaml.safe_dump(value, allow_unicode=True)
    path.write_text(text, encoding="utf-8", newline="")
    assert load_yaml(path) == yaml.safe_load(text)


def test_both_loaders_read_the_same(tmp_path, monkeypatch):
    """With and without libyaml."""
    assert yaml.__with_libyaml__, "PyYAML without libyaml: the faster half is not tested here"
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {b: [1, 2.5, yes, ~, x y], c: 'd'}\ne: {<<: *a, f: 1:30}\n")
    fast = load_yaml(path)
    monkeypatch.setattr(yaml_files, "_Loader", plain_loader(yaml.SafeLoader))
    monkeypatch.setattr(yaml_files, "_C_LOADER", yaml.SafeLoader)
    assert load_yaml(path) == fast
    assert fast["e"] == {"b": [1, 2.5, True, None, "x y"], "c": "d", "f": "1:30"}
