"""The authors' training checkpoints give our model the same logits; and back, bit by bit."""

from argparse import Namespace
from itertools import combinations

import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange import authors_keys
from fairseq_metro.interchange.authors_keys import (
    Layout,
    entries,
    layout_of_ours,
    layout_of_theirs,
    to_ours,
)
from fairseq_metro.interchange.export_authors import training_config, training_state
from fairseq_metro.interchange.hugging_face import from_hugging_face
from fairseq_metro.interchange.model import DEFAULTS, Model, read_model
from tests.interchange import authors, ours, reference_model


def compared(tmp_path, state, length=18, **changes):
    """Compare both models; returns what was read."""
    model = read_model(authors.write_checkpoint(tmp_path / "theirs.pt", state, **changes))
    rows = len(state["encoder.embed_tokens.weight"])
    tokens, previous = authors.batch(rows, length)
    distance = changes.get("encoder_rp_max_dist", authors.DISTANCE)
    expected = ours.expected(state, tokens, previous, distance=distance)
    ours.assert_same(ours.outputs(ours.load(model), tokens, previous), expected)
    return model


@pytest.mark.parametrize("share", ["token", "token_pos", "token_pos_norm"])
@pytest.mark.parametrize("rtd_head", ["simple", "roberta"])
def test_logits_of_all_three_parts_are_theirs(tmp_path, rtd_head, share):
    model = compared(tmp_path, authors.training_state(rtd_head=rtd_head, share=share))
    assert (model.config["rtd_head"], model.config["share_auxiliary"]) == (rtd_head, share)
    assert (model.name, model.num_updates) == ("metro_t5", 17)


def test_the_depth_is_counted_and_not_believed(tmp_path):
    model = compared(tmp_path, authors.training_state(layers=3, generator=2), encoder_layers=2)
    assert (model.config["encoder_layers"], model.config["auxiliary_layers"]) == (3, 2)
    assert model.config["dropout"] == 0.1  # theirs says 0.0, overwritten by the generator's


@pytest.mark.parametrize("form", ["cfg", "args", "nested"])
def test_the_distance_is_found_wherever_their_options_stand(tmp_path, form):
    state = authors.training_state(generator=0, rtd_head="")
    model = compared(tmp_path, state, form=form)
    assert model.config["relative_position_max_distance"] == authors.DISTANCE
    assert model.name == "t5_transformer"


@pytest.mark.parametrize("positions", [3, 5, 6, 8])
def test_few_positions_move_their_buckets(tmp_path, positions):
    """Their tables are numbered from the smallest bucket in reach: the shift is seen in logits."""
    state = authors.training_state(positions=positions)
    shift = authors_keys.bucket_shift(authors.BUCKETS, authors.DISTANCE, positions)
    assert shift == {3: 3, 5: 1, 6: 1, 8: 0}[positions]
    compared(tmp_path, state, length=positions if positions > 4 else 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_become_float32(tmp_path, dtype):
    state = {key: value.to(dtype) for key, value in authors.training_state().items()}
    model = read_model(authors.write_checkpoint(tmp_path / "theirs.pt", state))
    assert {value.dtype for value in model.state.values()} == {torch.float32}
    tokens, previous = authors.batch()
    exact = {key: value.float() for key, value in state.items()}
    ours.assert_same(
        ours.outputs(ours.load(model), tokens, previous), ours.expected(exact, tokens, previous)
    )


def test_only_the_main_model_of_a_pretrained_one(tmp_path):
    state = authors.training_state()
    path = authors.write_checkpoint(tmp_path / "theirs.pt", state)
    model = read_model(path, main_only=True)
    assert model.name == "t5_transformer"
    tokens, previous = authors.batch()
    main = {k: v for k, v in state.items() if not k.startswith(("generator.", "rtd_"))}
    ours.assert_same(
        ours.outputs(ours.load(model), tokens, previous), ours.expected(main, tokens, previous)
    )


def test_an_encoder_without_relative_tables_gets_tables_of_zeros(tmp_path):
    state = authors.training_state()
    absent = {key: value for key, value in state.items() if "rel_attn_bias" not in key}
    zeros = {key: value * ("rel_attn_bias" not in key) for key, value in state.items()}
    model = read_model(authors.write_checkpoint(tmp_path / "theirs.pt", absent))
    tokens, previous = authors.batch()
    ours.assert_same(
        ours.outputs(ours.load(model), tokens, previous), ours.expected(zeros, tokens, previous)
    )


# The way back


@pytest.mark.parametrize("share", ["token", "token_pos_norm"])
@pytest.mark.parametrize("rtd_head", ["simple", "roberta"])
@pytest.mark.parametrize("positions", [5, 20])
def test_their_state_comes_back_bit_by_bit(tmp_path, positions, rtd_head, share):
    state = authors.training_state(positions=positions, rtd_head=rtd_head, share=share)
    model = read_model(authors.write_checkpoint(tmp_path / "theirs.pt", state))
    back = training_state(model)
    assert back.keys() == state.keys()
    for key, value in state.items():
        value = value.clone()
        if key.endswith("embed_positions.weight"):
            value[:2] = 0  # before the first position: not kept
        assert torch.equal(back[key], value), key


def test_our_state_comes_back_bit_by_bit(tmp_path):
    path = authors.write_checkpoint(tmp_path / "theirs.pt")
    model = read_model(path)
    again = authors.write_checkpoint(
        tmp_path / "again.pt", training_state(model), **training_config(model)
    )
    second = read_model(again)
    assert second.config == model.config
    assert all(torch.equal(second.state[key], value) for key, value in model.state.items())


def test_no_parameter_of_ours_is_left_out_or_named_twice(tmp_path):
    model = read_model(authors.write_checkpoint(tmp_path / "theirs.pt"))
    assert set(model.state) == set(ours.build(model).state_dict())
    for side in ("ours", "theirs"):
        table = entries(layout_of_theirs(authors.training_state()))
        names = [name for entry in table for name in getattr(entry, side)]
        assert len(names) == len(set(names))


# Every name counts


def swapped_pairs(state, near):
    """Pairs of different tensors of one shape. near: within a layer, of neighbouring layers, of the
    first layers of two stacks, and all outside of layers with each other and the first layers."""
    names = [name for name in state if not name.endswith(".version")]
    for a, b in combinations(names, 2):
        if state[a].shape == state[b].shape and not torch.equal(state[a], state[b]):
            (stack_a, i), (stack_b, j) = map(place, (a, b))
            if not near or (stack_a == stack_b and abs(i - j) <= 1) or i == j == 0:
                yield a, b


def place(name):
    """(stack, layer) of a parameter; outside of layers (the name, 0)."""
    stack, _, rest = name.replace(".block.", ".layers.").partition(".layers.")
    return stack, int(rest.split(".")[0]) if rest else 0


def unnoticed(state, pairs, convert=lambda state: to_ours(state, layout_of_theirs(state))):
    """The pairs whose swap before conversion leaves our outputs equal to the reference's of the
    state as it was; and the number of pairs."""
    tokens, previous = authors.batch(length=6)
    names = reference_model.HUGGING_FACE if "shared.weight" in state else reference_model.TRAINING
    expected = ours.expected(state, tokens, previous, names)
    right = convert(state)
    model = ours.load(read_by_shapes(right))
    built, left, count = model.state_dict(), [], 0

    def load(new, old):
        with torch.no_grad():
            for name, value in new.items():
                if not torch.equal(value, old[name]):
                    built[name].copy_(value)

    assert ours.same(ours.outputs(model, tokens, previous), expected)
    for a, b in pairs:
        count += 1
        wrong = convert({**state, a: state[b], b: state[a]})
        load(wrong, right)
        if ours.same(ours.outputs(model, tokens, previous), expected):
            left.append((a, b))
        load(right, wrong)
    assert ours.same(ours.outputs(model, tokens, previous), expected)
    return left, count


def read_by_shapes(state):
    """A Model around a converted state of the tests' sizes."""
    layout = layout_of_ours(state)
    sizes = dict(
        DEFAULTS, embed_dim=authors.WIDTH, ffn_dim=authors.INNER, attention_heads=authors.HEADS,
        encoder_layers=layout.encoder, decoder_layers=layout.decoder,
        auxiliary_layers=layout.auxiliary or 1, mlm_head=layout.mlm_head or "linear",
        rtd_head=layout.rtd_head or "roberta", max_positions=authors.POSITIONS,
        relative_position_buckets=authors.BUCKETS, relative_position_max_distance=authors.DISTANCE,
    )  # fmt: skip
    name = "metro_t5" if layout.auxiliary else "t5_transformer"
    return Model(name, sizes, state, None, "")


def test_a_swap_of_two_parameters_of_one_shape_is_seen():
    """In a layer, in neighbouring layers, between encoder, decoder and generator, with heads."""
    state = authors.training_state(layers=2, generator=2)
    assert unnoticed(state, swapped_pairs(state, near=True)) == ([], 1867)


def test_a_swap_of_two_names_of_hugging_face_is_seen():
    def convert(named):
        state = from_hugging_face(named)
        return to_ours(state, layout_of_theirs(state))

    state = authors.hugging_face_state(authors.training_state(layers=2, generator=0, rtd_head=""))
    assert unnoticed(state, swapped_pairs(state, near=True), convert) == ([], 1016)


@pytest.mark.slow
def test_every_swap_of_two_parameters_of_one_shape_is_seen():
    """All pairs of a model of three layers each."""
    state = authors.training_state(layers=3, generator=3)
    assert unnoticed(state, swapped_pairs(state, near=False)) == ([], 7456)


# What cannot be read is one line


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(form="none"), "give --max-distance"),
        (dict(encoder_rp_max_dist=None), "give --max-distance"),
        (dict(encoder_attention_heads=4), "4 attention heads, but its relative tables have 2"),
        (dict(activation_fn="gelu"), "activation_fn is 'gelu', but our model has 'relu'"),
        (dict(encoder_normalize_before=True), "encoder_normalize_before is True"),
        (dict(no_scale_embedding=False), "no_scale_embedding is False"),
    ],
)
def test_a_model_that_is_not_ours_to_hold(tmp_path, change, said):
    path = authors.write_checkpoint(tmp_path / "theirs.pt", **change)
    with pytest.raises(UserError, match=said) as error:
        read_model(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("decoder.layers.0.self_attn_rel_pos.rel_attn_bias.weight", torch.ones(12, 2), "no place"),
        ("encoder.layer_norm.weight", torch.ones(8), "encoder.layer_norm.weight .* has no place"),
        ("encoder.layers.1.fc1.bias", None, "encoder.layers.1.fc1.bias is missing"),
        ("decoder.output_projection.weight", torch.ones(26, 8), "one token table"),
        ("generator.lm_head.weight", torch.ones(26, 8), "one token table"),
        ("generator.sentence_encoder.embed_positions.weight", torch.ones(12, 8),
         r"encoder 20, decoder 20, auxiliary 10\), ours do not; give --max-positions 10"),
    ],
)  # fmt: skip
def test_a_parameter_that_does_not_fit(tmp_path, key, value, said):
    state = authors.training_state()
    state.pop(key, None)
    if value is not None:
        state[key] = value
    with pytest.raises(UserError, match=said):
        read_model(authors.write_checkpoint(tmp_path / "theirs.pt", state))


@pytest.mark.parametrize("positions, shift", [(8, 0), (5, 1)])
def test_tables_of_positions_are_cut_where_asked(tmp_path, positions, shift):
    """A generator with fewer positions; with very few its buckets lie lower than the encoder's."""
    assert authors_keys.bucket_shift(authors.BUCKETS, authors.DISTANCE, positions) == shift
    state = authors.training_state()
    generator = "generator.sentence_encoder.embed_positions.weight"
    short = {**state, generator: state[generator][: positions + 2]}
    path = authors.write_checkpoint(tmp_path / "theirs.pt", short)
    model = read_model(path, max_positions=5)
    assert model.config["max_positions"] == 5
    tokens, previous = authors.batch(length=5)
    ours.assert_same(
        ours.outputs(ours.load(model), tokens, previous), ours.expected(short, tokens, previous)
    )
    with pytest.raises(UserError, match=f"--max-positions is 9, must be 1 to {positions}"):
        read_model(path, max_positions=9)


def test_options_given_win_and_defaults_fill_in(tmp_path):
    path = authors.write_checkpoint(tmp_path / "theirs.pt")
    unknown = authors.write_checkpoint(tmp_path / "unknown.pt", form="none")
    distance = "relative_position_max_distance"
    assert read_model(path, given={"max_distance": 9}).config[distance] == 9
    assert read_model(path, defaults={"max_distance": 9}).config[distance] == authors.DISTANCE
    assert read_model(unknown, defaults={"max_distance": 9}).config[distance] == 9


class Surprise:
    pass


def test_other_objects_in_a_file_are_refused_and_listed(tmp_path):
    path = tmp_path / "theirs.pt"
    content = torch.load(authors.write_checkpoint(path), weights_only=False)
    torch.save({**content, "more": [Surprise()]}, path)
    with pytest.raises(UserError, match=r"for safety's sake: .*Surprise") as error:
        read_model(path)
    assert "Namespace" not in str(error.value) and "\n" not in str(error.value)
    # And what was allowed for this file is forgotten again.
    assert Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("hello"), "truncated, or not a checkpoint"),
        (lambda path: torch.save([1], path), "holds no 'model'"),
        (lambda path: torch.save({"model": {"a": torch.ones(1)}, "cfg": {"model": {"_name": "x"}}},
                                 path), "a checkpoint of 'x', neither ours nor the authors'"),
        (lambda path: authors.write_checkpoint(path, {"encoder.layers.0.fc1.weight": torch.ones(1)}),
         "a checkpoint of 't5_metro_base_rpe', neither ours nor the authors'"),
        (lambda path: authors.write_checkpoint(path, {"a": torch.ones(1)}, form="args"),
         "a checkpoint of 't5_metro_base_rpe', neither ours nor the authors'"),
        (lambda path: authors.write_checkpoint(path, {"a": torch.ones(1)}, form="none"),
         "a checkpoint of 'another model', neither ours nor the authors'"),
        (lambda path: path.mkdir(), "neither a run's folder"),
    ],
)  # fmt: skip
def test_files_of_another_kind(tmp_path, make, said):
    path = tmp_path / "file.pt"
    make(path)
    with pytest.raises(UserError, match=said):
        read_model(path)


def test_the_table_of_an_empty_layout_holds_the_tokens_alone():
    assert [entry.form for entry in entries(Layout(0, 0))] == ["tied"]
