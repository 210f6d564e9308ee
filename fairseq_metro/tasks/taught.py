"""Teachers of the distillation tasks: run on every batch or cached, and recorded in the run."""

import logging

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import split_paths
from fairseq_metro.criterions.distillation_losses import layer_pairs
from fairseq_metro.criterions.teacher_signals import (
    CachedTopK,
    CachedVectors,
    OnlineTeachers,
    check_pairing,
)
from fairseq_metro.data.teacher_targets import TOP_K, TeacherCache
from fairseq_metro.interchange.teachers import load_teachers
from fairseq_metro.vocabulary.tokenizers import ROBERTA

logger = logging.getLogger(__name__)

NAME = "prompt_distillation"


class Taught:
    """Mixed into a task that has ``cfg.teacher`` and ``cfg.teacher_cache``, and a ``kind``."""

    reads_text = False  # whether its data are text, not prompts

    def __init__(self, cfg, vocabulary, stamps):
        super().__init__(cfg, vocabulary, stamps)
        self.teachers = self.caches = None  # until they are asked for
        self.student = None  # its configuration

    @classmethod
    def models_with_vocabularies(cls, cfg):
        return [cfg.init_from, *split_paths(cfg.teacher)]

    def open_teachers(self):
        """Load the teachers, or map what they said; once. Raises :class:`UserError`."""
        if self.teachers is not None:
            return
        folders = split_paths(self.cfg.teacher_cache)
        paths = split_paths(self.cfg.teacher)
        if folders and self.reads_text:
            raise UserError(
                "--teacher-cache holds what a teacher says at the masks of prompts; over text it is "
                "asked on every batch: give --teacher"
            )
        self.teachers, self.caches = [], []
        self.caches = [TeacherCache(folder, self.stamp) for folder in folders]
        if len(folders) > 1 and any(cache.stored == TOP_K for cache in self.caches):
            raise UserError(
                f"--teacher-cache {self.cfg.teacher_cache}: the likeliest symbols of several caches "
                "have no average; cache the teachers together, or their vectors"
            )
        teachers = load_teachers(paths, self.vocabulary, self.kind)
        if not folders:
            self.teachers = teachers
        elif teachers:
            self._compare_caches([teacher.hash for teacher in teachers])

    def _compare_caches(self, hashes):
        if len(self.caches) == 1:
            self.caches[0].refuse_other_teachers(hashes)
            return
        if len(hashes) != len(self.caches):
            raise UserError("--teacher and --teacher-cache: give as many of one as of the other")
        for cache, teacher_hash in zip(self.caches, hashes, strict=True):
            cache.refuse_other_teachers([teacher_hash])

    def teacher_hashes(self):
        """Of the teachers in the loop, or of those that were cached: sorted list."""
        hashes = [teacher.hash for teacher in self.teachers or ()]
        return sorted(
            hashes
            + [teacher_hash for cache in self.caches or () for teacher_hash in cache.teachers]
        )

    def teacher_signal(self, temperature, hidden, attention, cosine=False):
        """What gives the criterion a batch's targets.

        hidden, attention: whether layers are compared; cosine: whether last states are. Raises
        :class:`UserError`.
        """
        self.open_teachers()
        if not (self.teachers or self.caches):
            raise UserError("no teacher; give --teacher, --teacher-cache, or --distillation rule")
        if hidden or attention or cosine:
            self._check_layers(hidden, attention, cosine)
        if self.teachers:
            return OnlineTeachers(self.teachers, temperature, hidden or cosine, attention)
        if self.caches[0].stored != TOP_K:
            return CachedVectors([cache.output_layer() for cache in self.caches], temperature)
        if temperature != 1:
            raise UserError(
                f"--temperature {temperature}: the cache holds the likeliest symbols at 1; cache "
                "vectors, or leave it out"
            )
        return CachedTopK()

    def _check_layers(self, hidden, attention, cosine):
        options = "--cosine-weight" if cosine else "--hidden-weight and --attention-weight"
        if len(self.teachers) != 1 or self.kind != ROBERTA:
            needs = "needs" if cosine else "need"
            remedy = "give 0" if cosine else "leave them out"
            raise UserError(
                f"{options} {needs} one RoBERTa in --teacher, not a cache, several, or T5; {remedy}"
            )
        teacher = self.teachers[0].model.cfg
        check_pairing(self.student, teacher, hidden, attention, cosine)
        if hidden or attention:
            layer_pairs(self.student.encoder_layers, teacher.encoder_layers)

    def check_lengths(self, longest):
        """Raise :class:`UserError` where the student or a teacher has fewer positions."""
        limits = [("the student", getattr(self.student, "max_positions", None))]
        limits += [(f"--teacher {each.origin}", each.max_positions) for each in self.teachers or ()]
        for name, limit in limits:
            if limit is not None and longest > limit:
                raise UserError(self.too_long(longest, name, limit))

    # Model and training

    def build_model(self, cfg, from_checkpoint=False):
        self.student = cfg
        return super().build_model(cfg, from_checkpoint)

    def check_restored(self, facts):
        super().check_restored(facts)
        restored = facts["task_state"].get("teachers")
        if restored is None or restored == self.teacher_hashes():
            return
        raise UserError(
            f"{facts['path']}: trained with another teacher ({', '.join(t[:12] for t in restored)}); "
            "give its, or another --save-dir"
        )

    def state_dict(self):
        return {**super().state_dict(), "teachers": self.teacher_hashes()}

    def refuse_other_criterion(self, cfg):
        """Raise :class:`UserError` for another criterion than the task's."""
        if cfg._name != NAME:
            raise UserError(
                f"--criterion {cfg._name} is not for --task {NAME}; give --criterion {NAME}"
            )
