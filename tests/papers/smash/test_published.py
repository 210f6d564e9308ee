"""The paper's numbers as they stand in its tables."""

import re

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.papers.smash.published import names, paper_values, published
from fairseq_metro.smash.tasks import load_task, task_names

TITLES = {title for name in task_names() for title in load_task(name).tests}


@pytest.mark.parametrize("number", names("tables"))
def test_every_row_has_a_number_for_every_test(number):
    entry = published("tables", number)
    assert set(entry["tests"]) <= TITLES
    for row in entry["rows"]:
        assert len(row["paper"]) == len(entry["tests"]), row["name"]
    values = paper_values(number).values()
    assert all(-100 <= mean <= 100 and (std is None or 0 < std < 20) for mean, std in values)


def test_tables_agree_where_they_tell_the_same():
    one, two = paper_values(1), paper_values(2)
    rows = {"dR-b PT": "dR-b", "dR-b FT": "dR-b finetune", "R-b PT": "RoBERTa-base"}
    rows["R-l PT"] = "RoBERTa-large"
    for first, second in rows.items():
        for test in published("tables", 1)["tests"]:
            assert one[first, test][0] == two[second, test][0]
    figures = published("figures", "2a"), published("figures", "2b")
    for entry, test in zip(figures, ("MNLI-m", "SST-2"), strict=True):
        assert tuple(entry["series"][0]["points"][200000]) == two["SMASH", test]
        assert entry["lines"]["student"][1] == two["dR-b", test][0]
        assert entry["lines"]["middle"][1] == two["RoBERTa-base", test][0]


def test_table_2_is_the_papers_text(shared):
    """Row by row against the paper itself, where it lies beside the clone."""
    paper = shared / "papers" / "smash.md"
    if not paper.is_file():
        pytest.skip(f"{paper} is not there")
    text = re.sub(r"</?b>|<sup>.*?</sup>", "", paper.read_text("utf-8"))
    halves = text[text.index("\tMNLI-m\tMRPC") : text.index("Table 2: Main")].split("\tMNLI-mm\t")
    tests, found, values = published("tables", 2)["tests"], 0, paper_values(2)
    for half, columns in zip(halves, (tests[:7], tests[7:]), strict=True):
        for row in published("tables", 2)["rows"]:
            line = re.search(rf"^{re.escape(row['name'])} *\t(.*)$", half, re.M)[1]
            for test, cell in zip(columns, line.strip().split("\t"), strict=True):
                numbers = [float(n) for n in re.findall(r"-?\d+\.\d+", cell)]
                mean, std = values.get((row["name"], test), (None, None))
                assert numbers == [n for n in (mean, std) if n is not None], (row["name"], test)
                found += len(numbers)
    assert found == 13 * 11 - 1 + 13 * 7  # a mean each but STS-B's majority; 7 rows with a std


def test_a_number_there_is_not_is_one_line():
    with pytest.raises(UserError, match="no such table: 9; there are 1, 2, 3"):
        published("tables", 9)
