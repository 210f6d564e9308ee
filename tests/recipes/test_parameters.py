from fairseq_metro.models.metro_t5 import ARCHITECTURES
from fairseq_metro.recipes.parameters import count, main, table


def encoder_layer(d, f, buckets, heads):
    return 4 * (d * d + d) + 2 * d * f + f + d + 4 * d + buckets * heads


def decoder_layer(d, f):
    return 8 * (d * d + d) + 2 * d * f + f + d + 6 * d


def test_counts_equal_the_papers_arithmetic():
    sizes = {"base": (33280, 32), "basepp": (64512, 32), "largepp": (64512, 64)}
    for arch, (vocabulary, buckets) in sizes.items():
        a = ARCHITECTURES[arch]
        d, f, heads = a["embed_dim"], a["ffn_dim"], a["attention_heads"]
        layer = encoder_layer(d, f, buckets, heads)
        positions = 1024 * d
        main_model = (
            vocabulary * d
            + a["encoder_layers"] * layer
            + a["decoder_layers"] * decoder_layer(d, f)
            + 2 * (positions + 2 * d)
        )
        ours = count(arch, vocabulary)
        assert ours["main"] == main_model
        assert ours["auxiliary"] == a["auxiliary_layers"] * layer + positions + 2 * d
        assert ours["rtd_head"] == d * d + 4 * d + 1


def test_base_and_large_round_to_the_papers_numbers():
    base, large = count("base", 33280), count("largepp", 64512)
    assert round(base["main"] / 1e6) == 226
    assert round((large["main"] + large["rtd_head"]) / 1e6) == 775


def test_the_table_has_a_row_for_every_architecture(capsys):
    assert [row[0] for row in table()[1:]] == list(ARCHITECTURES)
    assert main([]) == 0
    assert "256M" in capsys.readouterr().out
