"""Cache a teacher's predictions at the mask of every prompt of a data folder.

The vector to which its output layer is applied, in half precision, gives the full distribution back
to rounding; or its k likeliest symbols, and the probability of all others as one. Progress is shown;
interrupted, the same command goes on where it was. The folder appears when it is whole.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, split_paths, write_json, writing
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.criterions.distillation_losses import averaged_log_probs
from fairseq_metro.data.intermediate_dataset import (
    T5,
    IntermediateDataset,
    IntermediatePrompts,
    read_intermediate_stamp,
)
from fairseq_metro.data.teacher_targets import (
    BIAS,
    TABLE,
    TAGS,
    TOP_K,
    VECTORS,
    TeacherCache,
    tags_of,
)
from fairseq_metro.interchange.teachers import load_teachers
from fairseq_metro.prepare import options
from fairseq_metro.prepare.folder_lock import locked, terminated_as_interrupted
from fairseq_metro.prepare.intermediate.examples import characters_of
from fairseq_metro.prepare.intermediate.pace import Pace
from fairseq_metro.vocabulary.roberta import open_vocabulary

logger = logging.getLogger(__name__)

CHUNK = 4096  # prompts sorted by length together, and written before the next
PROGRESS = "progress.json"


@dataclass(frozen=True)
class Plan:
    """The validated plan of a command."""

    data: Path
    dest: Path
    stored: str
    k: int | None
    teachers: list
    vocabulary: object
    stamp: dict
    max_tokens: int
    device: str

    @property
    def tags(self):
        """The settings that determine the output: dict."""
        return tags_of(self.stored, self.k, [each.hash for each in self.teachers], self.stamp)


@messages_on_stderr()
def main(argv=None):
    with terminated_as_interrupted():
        cache(plan(options.cache_teacher().parse_args(argv)))
    return 0


def plan(args):
    """The :class:`Plan` of parsed arguments. Raises :class:`UserError` for what cannot be done."""
    stamp = read_intermediate_stamp(args.data)
    vocabulary = open_vocabulary(args.data / "vocab")
    if vocabulary.hash != stamp["vocabulary"]:
        raise UserError(f"{args.data}/vocab: not the vocabulary of the data; make the data anew")
    paths = split_paths(args.teacher)
    if args.stored == VECTORS and len(paths) != 1:
        raise UserError("several teachers: give --cache top-k, or cache each by itself")
    if args.stored == VECTORS and args.k is not None:
        raise UserError("--k says nothing of vectors; give --cache top-k, or leave it out")
    k = None
    if args.stored == TOP_K:
        k = 64 if args.k is None else args.k
        if not 1 <= k <= len(vocabulary):
            raise UserError(f"--k is {k}, must be 1 to {len(vocabulary)}, the vocabulary's size")
    teachers = load_teachers(paths, vocabulary, stamp["kind"])
    for split, facts in stamp["splits"].items():
        characters_of(facts).judge(f"{args.data}/{split}", args.allow_unknown, logger)
    name = "-".join(each.hash[:12] for each in teachers) + (f"-top{k}" if k else "")
    return Plan(
        data=args.data, dest=args.dest or args.data / f"cache-{name}", stored=args.stored, k=k,
        teachers=teachers, vocabulary=vocabulary, stamp=stamp, max_tokens=args.max_tokens,
        device=args.device or ("cuda" if torch.cuda.is_available() else "cpu"),
    )  # fmt: skip


def cache(plan):
    """Write, or complete, the cache of a Plan; return its folder. Raises :class:`UserError`."""
    if plan.dest.exists():
        cached = TeacherCache(plan.dest, plan.stamp)
        cached.refuse_other_teachers(plan.tags["teachers"])
        if cached.tags["k"] != plan.k:
            raise UserError(f"{plan.dest}: holds {cached.stored} {cached.tags['k'] or ''}; give "
                            "another --dest")  # fmt: skip
        logger.info("%s: finished already, kept", plan.dest)
        return plan.dest
    building = plan.dest.with_name(f".{plan.dest.name}.building")
    with writing(plan.dest), locked(building):
        write(plan, building)
        building.rename(plan.dest)
    logger.info("%s: done", plan.dest)
    return plan.dest


def write(plan, building):
    """All files into ``building``, from where an earlier run left them."""
    done = _progress(plan, building)
    for teacher in plan.teachers:
        teacher.model.to(plan.device)
    for split in plan.stamp["splits"]:
        dataset = prompts_of(plan, split)
        write_split(plan, building, split, dataset, done)
    if plan.stored == VECTORS:
        for name, array in zip((TABLE, BIAS), plan.teachers[0].output_layer(), strict=True):
            np.save(building / name, array.numpy())
    counts = {split: facts["examples"] for split, facts in plan.stamp["splits"].items()}
    write_json(building / TAGS, make_stamp(**plan.tags, splits=counts))
    (building / PROGRESS).unlink()


def _progress(plan, building):
    """Split -> prompts that are whole; anything of other tags is begun anew."""
    path = building / PROGRESS
    if path.is_file():
        progress = read_json(path)
        if progress.get("tags") == plan.tags:
            return progress["done"]
        logger.info("%s: begun with another teacher or other data; begun anew", building)
    for old in building.iterdir():
        old.unlink()
    return {}


def prompts_of(plan, split):
    """The split as a dataset in its own order."""
    t5 = plan.stamp["kind"] == T5
    vocabulary = plan.vocabulary
    mask = vocabulary.sentinel_indices[0] if t5 else vocabulary.index("mask")
    prompts = IntermediatePrompts(plan.data, split, mask)
    start = vocabulary.index("pretraining_decoder_start")
    dataset = IntermediateDataset(
        prompts, pad=vocabulary.dictionary().pad(), seed=1, shuffle=False,
        decoder_input=[start, mask] if t5 else None,
    )  # fmt: skip
    longest = dataset.longest()
    for teacher in plan.teachers:
        if teacher.max_positions is not None and longest > teacher.max_positions:
            raise UserError(
                f"{plan.data}: its longest prompt has {longest} tokens, but --teacher "
                f"{teacher.origin} has {teacher.max_positions} positions; make shorter prompts"
            )
    return dataset


def write_split(plan, building, split, dataset, done):
    """Write a split's arrays chunk by chunk; each finished chunk is noted in ``progress.json``."""
    first, total = done.get(split, 0), len(dataset)
    if first == total:
        return
    arrays = open_arrays(plan, building, split, total, anew=first == 0)
    pace = Pace(split, "prompts", total, before=first)
    while first < total:
        last = min(first + CHUNK, total)
        indices = np.arange(first, last)
        for batch in dataset.batch_by_size(indices, max_tokens=plan.max_tokens):
            for name, rows in stored_values(plan, dataset, batch).items():
                arrays[name][batch] = rows
        for array in arrays.values():
            array.flush()
        first = done[split] = last
        write_json(building / PROGRESS, {"tags": plan.tags, "done": done})
        pace.show(first)


def open_arrays(plan, building, split, total, anew):
    """Name -> mapped array of the split, as data/teacher_targets.py has them."""
    symbols = len(plan.vocabulary)
    if plan.stored == VECTORS:
        width = plan.teachers[0].output_layer()[0].size(1)
        shapes = {"vectors": (np.float16, (total, width))}
    else:
        ids = np.uint16 if symbols <= 1 << 16 else np.int32
        shapes = {"ids": (ids, (total, plan.k)), "logp": (np.float16, (total, plan.k + 1))}
    return {
        name: np.lib.format.open_memmap(building / f"{split}.{name}.npy", "w+", dtype, shape)
        if anew
        else np.lib.format.open_memmap(building / f"{split}.{name}.npy", "r+")
        for name, (dtype, shape) in shapes.items()
    }


def stored_values(plan, dataset, batch):
    """The stored values of a batch: arrays by name."""
    sample = dataset.collater([dataset[index] for index in batch])["net_input"]
    sample = {
        name: value.to(plan.device) if torch.is_tensor(value) else value
        for name, value in sample.items()
    }
    if plan.stored == VECTORS:
        vectors = plan.teachers[0].vectors(sample).half()
        if not vectors.isfinite().all():
            raise UserError(
                f"--teacher {plan.teachers[0].origin}: vectors beyond half precision; give --cache "
                f"{TOP_K}"
            )
        return {"vectors": vectors.cpu().numpy()}
    log_q = averaged_log_probs([teacher.logits(sample) for teacher in plan.teachers])
    return top_k(log_q, plan.k)


def top_k(log_q, k):
    """The k likeliest symbols of each row, and what all others have together.

    log_q (M, V) -> ids (M, k), likeliest first; logp (M, k + 1) float16, the rest last.
    """
    logp, ids = log_q.topk(k, dim=-1)
    rest = log_q.scatter(-1, ids, float("-inf")).logsumexp(-1, keepdim=True)
    both = torch.cat((logp, rest), dim=-1).half()
    return {"ids": ids.cpu().numpy(), "logp": both.cpu().numpy()}
