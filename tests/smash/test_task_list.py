"""Few-shot tasks by group, and the words of their vocabulary."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.task_list import main


def test_tasks_come_with_their_groups_and_all_words(tmp_path, capsys):
    words = tmp_path / "words.txt"
    assert main(["sst2", "rte", "--words", str(words)]) == 0
    assert capsys.readouterr().out == "single_sentence\tsst2\nsentence_pair\trte\n"
    found = words.read_text().split()
    assert {"terrible", "okay", "great", "Maybe", "No", "Yes", "It", "was", "?", ",", "."} <= {
        *found
    }
    assert len(found) == len({*found})


def test_a_task_without_group_is_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        'title: mine\nmetric: accuracy\ntemplate: "*cls**sent_0*_So*mask*.*sep+*"\n'
        "words: {a: good, b: bad}\nmax_length: 64\n"
        "dataset: {name: mine, text: [text], splits: {train: train, test: test}}\n"
    )
    with pytest.raises(UserError, match="its group is None, must be one of sentence_pair"):
        main([str(path)])
