"""Options that change a mixture on the command line: what is held out, and FLAN's ablations."""

import math
from dataclasses import replace

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.mixtures import flan, load_mixture
from fairseq_metro.prompts.mixtures.rules import TEMPERATURE


def add_mixture_options(add):
    """add: a parser's ``add_argument``."""
    add("--mixture", required=True, metavar="NAME|FILE",
        help="Mixture: a name from the package (t0, t0+, t0++, flan, …) or a YAML "
             "file.")  # fmt: skip
    add("--without", nargs="+", default=[], metavar="SET",
        help="Data sets to exclude from the mixture, for example those you have no files "
             "of.")  # fmt: skip
    add("--only", nargs="+", default=[], metavar="SET",
        help="Data sets of the mixture to train on; all others are excluded.")  # fmt: skip
    add("--hold-out", nargs="+", default=[], metavar="CLUSTER",
        help="Clusters of data sets to exclude from training, together with those the mixture "
             "relates to them, so that the model can be evaluated on unseen tasks (FLAN, "
             "2.2).")  # fmt: skip
    add("--clusters", nargs="+", default=[], metavar="CLUSTER",
        help="Clusters of data sets to train on; all others are excluded (FLAN, 4.1).")  # fmt: skip
    add("--temperature", type=float, metavar="T",
        help="Sample each task in proportion to min(rows, cap)^(1/T), as seqio does, instead of "
             "by the mixture's rule. A larger T samples small data sets more often.")  # fmt: skip
    add("--cap", type=int, metavar="ROWS",
        help="Maximum number of rows of a data set that count towards its sampling rate (default: "
             "the mixture's).")  # fmt: skip
    add("--mode", choices=flan.MODES,
        help="Form of the training inputs: with the template's instruction, without instruction, "
             "or preceded by the name of the data set (FLAN, 4.3; default: the mixture's, "
             "natural).")  # fmt: skip
    add("--exemplars", type=int, nargs="+", metavar="N",
        help="Number of solved examples shown before an input: one number, or a minimum and a "
             f"maximum, up to {flan.MOST_EXEMPLARS} (FLAN, 4.4; default: the mixture's, "
             "0).")  # fmt: skip


def chosen_mixture(args):
    """The mixture that parsed arguments ask for; its name says what was changed. UserError."""
    mixture = load_mixture(args.mixture).without_datasets(*args.without)
    changes = []
    if args.hold_out:
        mixture = mixture.without_clusters(*args.hold_out)
        changes.append(f"hold out: {', '.join(args.hold_out)}")
    if args.clusters:
        mixture = mixture.only_clusters(*args.clusters)
        changes.append(f"clusters: {', '.join(args.clusters)}")
    if args.only:
        mixture = mixture.only_datasets(*args.only)
        changes.append(f"only: {', '.join(args.only)}")
    if args.temperature is not None or args.cap is not None:
        mixture, change = _weighed(mixture, args.temperature, args.cap)
        changes.append(change)
    if args.mode is not None:
        mixture = replace(mixture, mode=args.mode)
        changes.append(f"mode: {args.mode}")
    if args.exemplars is not None:
        mixture = replace(mixture, exemplars=_exemplars(args.exemplars))
        changes.append(f"exemplars: {'-'.join(map(str, args.exemplars))}")
    if not mixture.sets:
        raise UserError(
            f"mixture {mixture.name}: no data set is left to train on ({'; '.join(changes)}); hold "
            "out less"
        )
    return replace(mixture, name=f"{mixture.name} ({'; '.join(changes)})") if changes else mixture


def _weighed(mixture, temperature, cap):
    """(The mixture under another temperature, cap or both, words for its name). Raises UserError."""
    if temperature is not None and not 0 < temperature < math.inf:
        raise UserError(f"--temperature is {temperature:g}, must be a number above 0")
    if cap is not None and cap < 1:
        raise UserError(f"--cap is {cap}, must be at least 1")
    words = []
    if temperature is not None:
        kept = mixture.cap if mixture.rule == TEMPERATURE else None
        mixture = replace(
            mixture, rule=TEMPERATURE, temperature=temperature, cap=kept, max_rate=None
        )
        words.append(f"temperature: {temperature:g}")
    if cap is not None:
        mixture = replace(mixture, cap=cap)
        words.append(f"cap: {cap}")
    return mixture, ", ".join(words)


def _exemplars(numbers):
    fewest, most = (numbers * 2)[:2] if len(numbers) == 1 else tuple(numbers[:2])
    if len(numbers) > 2 or not 0 <= fewest <= most <= flan.MOST_EXEMPLARS:
        raise UserError(
            f"--exemplars {' '.join(map(str, numbers))}: give a number from 0 to "
            f"{flan.MOST_EXEMPLARS}, or the fewest and the most"
        )
    return fewest, most
