"""``fairseq-metro figure``: its list, unknown names, files that cannot be written, bad data."""

import pytest

from fairseq_metro.analysis.figures import command, plotting
from fairseq_metro.common.errors import UserError


def test_help_lists_every_figure(capsys):
    assert command.main(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert listed == list(command.FIGURES)


def test_without_a_name_the_help_is_an_error():
    assert command.main([]) == 2


@pytest.mark.parametrize("name", command.FIGURES)
def test_every_figure_explains_its_options(name, capsys):
    with pytest.raises(SystemExit) as done:
        command.main([name, "--help"])
    assert done.value.code == 0 and "--out" in capsys.readouterr().out


def test_an_unknown_figure_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="no figure 'neuron'; perhaps neurons"):
        command.main(["neuron"])


@pytest.mark.parametrize("out, said", [("a.pdf", "must end in .png"), ("no/a.png", "no folder")])
def test_a_picture_that_cannot_be_written_is_refused_before_the_work(tmp_path, out, said):
    with pytest.raises(UserError, match=said):
        command.main(["clm-loss", "nothing-there", "--out", str(tmp_path / out)])


def test_a_csv_holds_no_number_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="x is nan"):
        plotting.write_csv(tmp_path / "a.csv", [{"x": 1.0}, {"x": float("nan")}])
    with pytest.raises(ValueError, match="columns"):
        plotting.write_csv(tmp_path / "a.csv", [{"x": 1.0}, {"y": 1.0}])
    assert list(tmp_path.iterdir()) == []
