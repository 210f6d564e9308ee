"""Our models in the real lm-evaluation-harness: its numbers are our scoring's."""

import importlib
import json
import math
import sys
from types import SimpleNamespace

import pytest
import torch

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate import harness_command
from fairseq_metro.interchange.export_hf import export_hf
from tests.interchange import exports
from tests.interchange.conftest import theirs, vocabulary  # noqa: F401  fixtures

pytest.importorskip("lm_eval", reason="lm-evaluation-harness (lm_eval) is not installed")
pytest.importorskip("datasets", reason="lm-evaluation-harness's datasets is not installed")

ROWS = [  # question, choices; which is right is told by the fixture
    ("the old river carries stone", ["quiet", "Bright winter", "house"]),
    ("a small letter follows", ["river", "the child", "stone stone stone"]),
    ("winter house", ["quiet", "old", "letter"]),
    ("child and stone , quiet", ["carries", "follows the river", "small"]),
    ("the quiet letter", ["house", "stone", "Bright"]),
]
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}}"
"""
CHOICE = "doc_to_choice: '{{choices}}'\ndoc_to_target: '{{label}}'\nmetric_list: [{metric: acc}]\n"
ROLLING = "doc_to_target: '{{question}}'\nmetric_list: [{metric: word_perplexity}]\n"
UNTIL = (
    "doc_to_target: '{{choices[0]}}'\nmetric_list: [{metric: exact_match}]\n"
    "generation_kwargs: {until: ['e'], max_gen_toks: 7}\n"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory, vocabulary):  # noqa: F811
    folder = tmp_path_factory.mktemp("harness") / "run"
    return exports.write_run(folder, vocabulary, "t5_transformer")[0]


@pytest.fixture(scope="module")
def lm(run):
    from fairseq_metro.evaluate.harness import FairseqMetroLM

    return FairseqMetroLM(str(run), device="cpu", batch_size=1)


@pytest.fixture
def tasks(tmp_path, monkeypatch, lm):
    """A folder of three tasks over local rows, of which the model is right in the first three."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    data = tmp_path / "rows.jsonl"
    best = lm.predictor.best(*map(list, zip(*ROWS, strict=True)))
    gold = [place if i < 3 else (place + 1) % 3 for i, place in enumerate(best)]
    lines = [json.dumps({"question": q, "choices": c, "label": g})
             for (q, c), g in zip(ROWS, gold, strict=True)]  # fmt: skip
    data.write_text("\n".join(lines) + "\n")
    (tmp_path / "tasks").mkdir()
    for name, kind, rest in (
        ("ours_choice", "multiple_choice", CHOICE),
        ("ours_rolling", "loglikelihood_rolling", ROLLING),
        ("ours_until", "generate_until", UNTIL),
    ):
        text = TASK.format(name=name, kind=kind, data=data) + rest
        (tmp_path / "tasks" / f"{name}.yaml").write_text(text)
    return tmp_path / "tasks"


def requests(*pairs):
    return [SimpleNamespace(args=pair) for pair in pairs]


def loop(predictor, source, target):
    """log p of each token by the plainest way: the whole model for one pair."""
    with torch.no_grad():
        previous = torch.tensor([[2, *target[:-1].tolist()]])
        logits = predictor.model(source[None], None, previous)[0][0].double()
    log_p = logits.log_softmax(-1)
    return log_p.gather(1, target[:, None])[:, 0], log_p.argmax(-1) == target


@pytest.mark.parametrize("form", ["run", "exported"])
def test_the_harness_finds_the_accuracy_of_our_scoring(run, tasks, tmp_path, form):
    """Of a run, and of the Hugging Face folder that it was exported to."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    importlib.import_module("fairseq_metro.evaluate.harness")
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    folder = run
    if form == "exported":
        pytest.importorskip("safetensors", reason="an export is in safetensors")
        folder = tmp_path / "hf"
        export_hf(run, folder)
    found = lm_eval.simple_evaluate(
        model="fairseq_metro", model_args=f"pretrained={folder},device=cpu", task_manager=manager,
        tasks=["ours_choice", "ours_rolling", "ours_until"], bootstrap_iters=0, log_samples=True,
    )  # fmt: skip
    predictor = fairseq_metro.load(run, "cpu")
    texts, choices = zip(*ROWS, strict=True)
    assert found["results"]["ours_choice"]["acc,none"] == pytest.approx(3 / 5)
    scores = predictor.score_choices(list(texts), list(choices))
    samples = sorted(found["samples"]["ours_choice"], key=lambda one: one["doc_id"])
    for sample, row in zip(samples, scores, strict=True):
        assert [float(one[0]) for one in sample["filtered_resps"]] == pytest.approx(row, abs=1e-4)
    assert math.isfinite(found["results"]["ours_rolling"]["word_perplexity,none"])
    outputs = predictor.generate(list(texts), beam=1, max_len_b=7)
    samples = sorted(found["samples"]["ours_until"], key=lambda one: one["doc_id"])
    assert [one["resps"][0][0] for one in samples] == [text.split("e")[0] for text in outputs]
    assert found["config"]["model_sha256"] and found["config"]["model_score_eos"] is True


def test_loglikelihood_equals_a_loop(lm, run):
    pairs = [(q, f" {c}") for q, choices in ROWS for c in choices]
    pairs += [("", " quiet"), ("the old river", ""), ("the old river", " "), pairs[0]]
    found = lm.loglikelihood(requests(*pairs))
    predictor = lm.predictor
    for (context, continuation), (score, greedy) in zip(pairs, found, strict=True):
        source = predictor.sources([context])[0] if context else torch.tensor([0, 2])
        ids = predictor.vocabulary.encode(continuation.strip())
        log_p, likeliest = loop(predictor, source, torch.tensor([*ids, 2]))
        assert score == pytest.approx(float(log_p.sum()), abs=1e-4)
        assert greedy is bool(likeliest.all())
    # what the model says by itself is greedy
    context = ROWS[0][0]
    source = predictor.sources([context])[0]
    tokens = [2]
    with torch.no_grad():
        while len(tokens) < 8 and (len(tokens) == 1 or tokens[-1] != 2):
            logits = predictor.model(source[None], None, torch.tensor([tokens]))[0][0, -1]
            tokens.append(int(logits.argmax()))
    from fairseq_metro.scoring.tokens import score_tokens

    ((said,),) = score_tokens(predictor.model, [source], [[torch.tensor(tokens[1:])]], pad=1,
                              decoder_start=2)  # fmt: skip
    assert said[1].all()


def test_greedy_is_every_token_the_likeliest(lm, monkeypatch):
    said = [[True, True], [True, False], [False, False]]
    log_p = torch.tensor([-1.0, -2.0])
    monkeypatch.setattr(
        lm, "_scores", lambda sources, targets: [[(log_p, torch.tensor(each)) for each in said]]
    )
    found = lm.loglikelihood(requests(("a", "x"), ("a", "y"), ("a", "z")))
    assert found == [(-3.0, True), (-3.0, False), (-3.0, False)]


def test_without_eos_a_continuation_has_its_tokens_alone(run, lm):
    from fairseq_metro.evaluate.harness import FairseqMetroLM

    bare = FairseqMetroLM(str(run), device="cpu", score_eos=False, max_tokens=30)
    context, continuation = "the old river", " Bright winter"
    ((score, _), nothing) = bare.loglikelihood(requests((context, continuation), (context, " ")))
    ids = torch.tensor(bare.predictor.vocabulary.encode(continuation.strip()))
    log_p, _ = loop(bare.predictor, bare.predictor.sources([context])[0], ids)
    assert score == pytest.approx(float(log_p.sum()), abs=1e-4)
    assert nothing == (0.0, True)
    assert score > lm.loglikelihood(requests((context, continuation)))[0][0]


def test_a_long_text_is_scored_once_token_by_token(lm):
    texts = ["quiet house", "", " ".join(["the old river carries stone"] * 20)]
    found = lm.loglikelihood_rolling(requests(*[(text,) for text in texts]))
    longest = lm.predictor.max_target
    for text, answer in zip(texts, found, strict=True):
        ids, expected = torch.tensor(lm.predictor.vocabulary.encode(text)), 0.0
        for start in range(0, len(ids), longest):
            end = min(start + longest, len(ids))
            log_p, _ = loop(lm.predictor, torch.tensor([0, 2]), ids[max(0, end - longest) : end])
            expected += float(log_p[start - end :].sum())
        assert answer == pytest.approx(expected, abs=1e-3)
    assert found[1] == 0.0 and len(ids) > 2 * longest


def test_generation_settings_become_fairseqs(lm):
    text = "the old river"
    plain, wide = lm.generate_until(
        requests((text, {"until": ["zzz"], "max_gen_toks": 5}), (text, {"num_beams": 4}))
    )
    assert plain == lm.predictor.generate([text], beam=1, max_len_b=5)[0]
    assert wide == lm.predictor.generate([text], beam=4, max_len_b=256)[0]
    options = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "max_gen_toks": 5}
    assert isinstance(lm.generate_until(requests((text, options)))[0], str)
    with pytest.raises(UserError, match="generation setting 'min_p' of the task is unknown"):
        lm.generate_until(requests((text, {"min_p": 0.1})))


def test_every_setting_has_its_counterpart():
    from fairseq_metro.evaluate.harness import _generation

    plain = {"beam": 1, "max_len_b": 256}
    sampled = {"sampling": True, "temperature": 1.0}
    for settings, options in (
        ({}, plain),
        ({"max_gen_toks": 5, "max_tokens": 9}, {**plain, "max_len_b": 5}),
        ({"max_new_tokens": 6, "num_beams": 4}, {"beam": 4, "max_len_b": 6}),
        ({"temperature": 0.5}, {**plain, **sampled, "temperature": 0.5}),
        ({"temperature": 0.5, "do_sample": False}, plain),
        ({"do_sample": True, "top_k": 3.0, "top_p": "0.5"},
         {**plain, **sampled, "sampling_topk": 3, "sampling_topp": 0.5}),
        ({"temperature": 0, "top_k": 3}, plain),
    ):  # fmt: skip
        assert _generation({"until": ["x"], **settings}) == options


def test_each_request_has_its_own_stop_strings(lm):
    text = "the old river"
    (whole,) = lm.generate_until(requests((text, {"max_gen_toks": 9})))
    a, b = whole.split()[0][-1], whole.split()[-1][0]
    pairs = [whole[i : i + 2] for i in range(len(whole) - 1)]
    pair = next(p for p in pairs if min(map(whole.index, p)) < whole.index(p))
    stops = ["zzz", a, [b, a], ["", b], pair]
    found = lm.generate_until(
        requests(*[(text, {"max_gen_toks": 9, "until": each}) for each in stops])
    )
    first = min(whole.index(a), whole.index(b))
    expected = [whole, whole[: whole.index(a)], whole[:first], whole[: whole.index(b)]]
    expected.append(whole[: whole.index(pair)])  # a string is one, not its letters
    assert found == expected


def test_a_continuation_is_cut_where_the_decoder_ends(lm):
    context, words = "the old river", "stone house " * 40
    ((score, _),) = lm.loglikelihood(requests((context, f" {words}")))
    ids = lm.predictor.vocabulary.encode(words.strip())
    longest = lm.predictor.max_target
    assert len(ids) > longest
    kept = torch.tensor([*ids[: longest - 1], 2])  # </s> has the last place
    log_p, _ = loop(lm.predictor, lm.predictor.sources([context])[0], kept)
    assert score == pytest.approx(float(log_p.sum()), abs=1e-3)


def test_a_context_is_encoded_once_and_batches_are_as_large_as_asked(run):
    from fairseq_metro.evaluate.harness import FairseqMetroLM

    lm, shapes = FairseqMetroLM(str(run), device="cpu", max_tokens=30), []
    encoder, stock = lm.predictor.model.encoder, lm.predictor.model.encoder.forward

    def forward(tokens, *args, **kwargs):
        shapes.append(tuple(tokens.shape))
        return stock(tokens, *args, **kwargs)

    encoder.forward = forward
    contexts = [q for q, _ in ROWS] * 3  # never two neighbours of one context
    lm.loglikelihood(requests(*[(q, f" quiet {i}") for i, q in enumerate(contexts)]))
    assert sum(rows for rows, _ in shapes) == len(ROWS)
    assert all(rows * length <= 30 for rows, length in shapes if rows > 1) and len(shapes) > 1


def test_answers_are_remembered_for_the_harnesss_cache(lm, monkeypatch):
    kept = []
    hook = SimpleNamespace(add_partial=lambda *told: kept.append(told))
    monkeypatch.setattr(lm, "cache_hook", hook)
    one = ("the old river", " quiet"), ("winter",), ("winter", {"max_gen_toks": 3})
    names = "loglikelihood", "loglikelihood_rolling", "generate_until"
    answers = [getattr(lm, name)(requests(args))[0] for name, args in zip(names, one, strict=True)]
    assert kept == list(zip(names, one, answers, strict=True))


def test_the_dtype_is_the_models(run):
    from fairseq_metro.evaluate.harness import FairseqMetroLM

    half = FairseqMetroLM(str(run), device="cpu", dtype="bfloat16")
    assert {p.dtype for p in half.predictor.model.parameters()} == {torch.bfloat16}
    assert half.get_model_info()["model_dtype"] == "bfloat16"


def test_the_command_is_the_harness_with_our_model(run, tasks, monkeypatch, root):
    monkeypatch.setattr(sys, "argv", ["fairseq-metro lm-eval"])
    out = tasks.parent / "out"
    words = [str(run), "--tasks", "ours_choice", "--include_path", str(tasks), "--device", "cpu"]
    assert harness_command.main([*words, "--output_path", str(out)]) == 0
    (written,) = out.rglob("results_*.json")
    result = json.loads(written.read_text())
    assert result["config"]["model"] == "fairseq_metro"
    assert result["results"]["ours_choice"]["acc,none"] == pytest.approx(3 / 5)


def test_the_harnesss_own_models_are_still_there():
    """It lists them itself only where nobody has registered a model before it looks."""
    from lm_eval.api.registry import get_model

    from fairseq_metro.evaluate.harness import FairseqMetroLM

    assert get_model("dummy").__name__ == "DummyLM"
    assert get_model("fairseq_metro") is FairseqMetroLM


def test_a_wrong_dtype_is_one_line(run):
    from fairseq_metro.evaluate.harness import FairseqMetroLM

    with pytest.raises(UserError, match="dtype is 'int8', must be one of float32"):
        FairseqMetroLM(str(run), dtype="int8")
