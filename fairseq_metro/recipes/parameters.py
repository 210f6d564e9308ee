"""Count the parameters of every architecture, beside the paper's numbers."""

from fairseq_metro.common.arguments import CommandParser

# METRO-T0, Tables 2 and 5; the vocabulary with its specials and sentinels is the authors' own.
PAPER = {"base": "226M", "basepp": "256M", "largepp": "775M"}
VOCABULARY = {"tiny": 1133, "small": 8133, "base": 33280, "basepp": 64512, "largepp": 64512}

EXPLANATION = """\
main       encoder, decoder and the token table they share
main+RTD   with the RTD head, as fine-tuning starts from
all        with the auxiliary model, as pretraining trains
The paper's 226M is the base model (with or without the RTD head: 0.6M). Its 775M is large++ with
the RTD head. Its 256M for base++ matches no count of that model (base's sizes with the 64k
vocabulary: 250M); the base model with auxiliary and RTD head has as many, perhaps by coincidence.
The authors' code counts 2 position rows more per table (fairseq's padding offset) and gives the
auxiliary model a larger head; both are below 1M. Vocabulary sizes of base, base++ and large++ are
the authors', 512 sentinels included."""


def count(arch, vocabulary_size):
    """Parameters of one architecture: dict of main, rtd_head, auxiliary (tied tables once)."""
    import torch  # here, so that --help stays fast

    from fairseq_metro.models.metro_t5 import ARCHITECTURES, MetroT5Config, MetroT5Model
    from fairseq_metro.models.symbols import Symbols

    with torch.device("meta"):
        model = MetroT5Model(MetroT5Config(**ARCHITECTURES[arch]), Symbols(vocabulary_size))
    sizes = dict.fromkeys(("main", "rtd_head", "auxiliary"), 0)
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        sizes[part if part in sizes else "main"] += parameter.numel()
    return sizes


def table(vocabulary_size=None):
    """Rows of strings, the header first."""
    rows = [("architecture", "V", "main", "main+RTD", "all", "paper")]
    for arch, size in VOCABULARY.items():
        size = vocabulary_size or size
        sizes = count(arch, size)
        main, with_rtd = sizes["main"], sizes["main"] + sizes["rtd_head"]
        numbers = (size, main, with_rtd, with_rtd + sizes["auxiliary"])
        rows.append((arch, *(f"{n:,}" for n in numbers), PAPER.get(arch, "-")))
    return rows


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__)
    parser.add_argument(
        "--vocab-size", type=int,
        help="Number of symbols in the dictionary, including special symbols and sentinels "
             "(default: the authors' for base, base++ and large++).",
    )  # fmt: skip
    return parser


def main(argv=None):
    options = parser().parse_args(argv)
    rows = table(options.vocab_size)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    print()
    print(EXPLANATION)
    return 0
