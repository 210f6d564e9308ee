"""planning/plan.py: what --plan says, and the batch that fits a GPU."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.recipes import options, plan

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # hydra, of fairseq's own config


def planned(capsys, *words):
    assert plan.main(list(words)) == 0
    return capsys.readouterr().out


def test_the_authors_base_run(capsys):
    said = planned(capsys, "--processes=64", "--gpu=a100-40", "--mfu=0.14", "--", "--bf16")
    assert said.startswith("plan (estimates): metro_t5_base, recipe paper, bf16, 64 x a100-40")
    assert "1,597 MFLOP per token; 125,000 updates are 131,072 M tokens" in said
    assert "time: 20.8 hours at 14% MFU of 312 TFLOP/s" in said  # METRO-T0, A.6
    assert "the authors needed 20.8 hours on 64 x a100-40" in said and "14.0% MFU" in said
    assert "auxiliary model 29,140,992, RTD head 592,897" in said
    for part in ("weights", "gradients", "Adam", "activations", "logits", "largest batch"):
        assert part in said


def test_options_of_fairseq_train_change_the_plan(capsys):
    small = planned(capsys, "--objective=t5", "--", "--embed-dim=384", "--max-update=1000")
    assert "1,000 updates" in small and "hint: --bf16" in small
    assert "the authors" not in small


def most(capsys, *words):
    (line,) = (x for x in planned(capsys, *words).splitlines() if x.startswith("largest batch"))
    return int(line.split(": ")[1].split()[0].replace(",", ""))


def test_more_memory_less_precision_and_recomputation_fit_more_tokens(capsys):
    full = most(capsys, "--gpu=40:300")
    half = most(capsys, "--gpu=40:300", "--", "--bf16")
    lean = most(capsys, "--gpu=40:300", "--", "--bf16", "--checkpoint-activations")
    large = most(capsys, "--gpu=80:300", "--", "--bf16")
    assert full < half < lean and 1.9 * half < large < 2.3 * half


def test_the_largest_batch_that_fits_and_divides_the_update_is_taken(capsys):
    said = planned(capsys, "--gpu=a100-80", "--processes=4", "--", "--bf16")
    fits = int(said.split("fits one GPU: ")[1].split()[0].replace(",", ""))
    tokens = int(said.split("an update: 4 x ")[1].split()[0].replace(",", ""))
    assert 2048 * 512 % (4 * tokens) == 0 and tokens <= fits < 2 * tokens


def test_a_run_on_gpus_takes_the_batch_of_the_plan(capsys):
    words = ["--processes=4", "--gpu-mib=81920"]
    options.main([*words, "--", "--bf16"])
    said = capsys.readouterr().out.splitlines()
    tokens = said[said.index("--max-tokens") + 1]
    assert f"an update: 4 x {int(tokens):,} tokens" in planned(capsys, *words, "--", "--bf16")
    assert int(tokens) > 8192 and "--bf16" not in said
    options.main([*words, "--tokens-per-process=2048", "--", "--update-freq=1"])
    said = capsys.readouterr()
    assert "2048" in said.out.splitlines() and "warning: --update-freq given" in said.err


def test_a_model_that_does_not_fit_is_said(capsys):
    said = planned(capsys, "--size=largepp", "--gpu=v100-16")
    assert "warning: no block of 512 tokens fits one v100-16" in said


@pytest.mark.parametrize(
    "words, part",
    [
        (["--gpu=a100"], "--gpu is 'a100', must be v100-16"),
        (["--gpu=40:-1"], "MEMORY_GB:TFLOPS"),
        (["--mfu=0"], "--mfu is 0"),
        (["--size=huge"], "ARCH is 'huge'"),
    ],
)
def test_a_mistake_is_one_line(words, part):
    with pytest.raises(UserError) as caught:
        plan.main(words)
    assert part in str(caught.value) and "\n" not in str(caught.value)
