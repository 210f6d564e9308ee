"""Mixtures: data sets, their templates and rows, and the rule that weighs them."""

import logging
from dataclasses import dataclass, replace

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import task_name
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.mixtures import flan
from fairseq_metro.prompts.mixtures.keys import ALL, ERROR, LEAVE_OUT
from fairseq_metro.prompts.mixtures.rules import caps_and_rates
from fairseq_metro.prompts.mixtures.sets import MixtureSet, MixtureTask, jsonl_tasks
from fairseq_metro.prompts.task_data.same_sets import same_set

logger = logging.getLogger(__name__)

TRAIN, VALID, HELDOUT = "train", "valid", "heldout"


@dataclass(frozen=True)
class Mixture:
    """Data sets to train on, their rule, and the sets for evaluation.

    rule: one of RULES (mixtures/rules.py); sets, valid, heldout: tuples of MixtureSet, for training
    and for validation on trained and on held-out data sets; cap, max_rate, temperature: the rule's
    numbers; templates: which templates of the training sets take part, where a set does not say
    ("all", "original", "first-original"); without_templates: "error" or "leave out", what becomes of
    a set that has none; seed: of random wordings and of exemplars; examples: of an epoch where tasks
    are drawn by rate (None: the sum of the rates); options, exemplars, mode: FLAN's form of an input,
    exemplars the fewest and the most (mixtures/flan.py), mode that of training only: the ablations
    too are evaluated with instructions (FLAN, 4.3); exclude_tasks: task names left out; related:
    pairs of clusters that leave training together; left_out: the sets that have left it; held_out:
    the clusters that were held out, with those related to them.
    """

    name: str
    rule: str
    sets: tuple[MixtureSet, ...]
    valid: tuple[MixtureSet, ...] = ()
    heldout: tuple[MixtureSet, ...] = ()
    cap: int | None = None
    max_rate: int | None = None
    temperature: float | None = None
    templates: str = ALL
    without_templates: str = ERROR
    seed: int = 1
    examples: int | None = None
    options: bool = False
    exemplars: tuple[int, int] = (0, 0)
    mode: str = flan.NATURAL
    exclude_tasks: tuple[str, ...] = ()
    related: tuple[tuple[str, str], ...] = ()
    left_out: tuple[MixtureSet, ...] = ()
    held_out: tuple[str, ...] = ()

    def sets_of(self, split):
        """The sets of ``train``, ``valid`` or ``heldout``: tuple of MixtureSet."""
        return {TRAIN: self.sets, VALID: self.valid, HELDOUT: self.heldout}[split]

    def tasks(self, templates, split=TRAIN):
        """The tasks of a split, sets in the file's order, templates sorted by name: list.

        templates: a prompts.Templates. Trained on without instructions (mode), a set has one task,
        with the answers of its first template of the original task that gives every row a pair.
        Raises :class:`UserError`.
        """
        tasks = []
        for mixture_set in self.sets_of(split):
            if mixture_set.jsonl:
                tasks += jsonl_tasks(mixture_set)
            else:
                mode = self.mode if split == TRAIN else flan.NATURAL
                tasks += self._tasks_of(mixture_set, templates.of(mixture_set.dataset), mode)
        names = [task.name for task in tasks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UserError(f"mixture {self.name}: two tasks called {twice!r}; give a set a name")
        return tasks

    def with_templates(self, templates):
        """This mixture without the sets for which there are no templates, where it does without.

        Sets of ``without_templates: leave out`` that have none, and those of which the mixture's
        ``templates: original`` leaves none; the log names them. Raises :class:`UserError` where no
        training set is left.
        """
        none, unfit = {}, {}
        for mixture_set in (*self.sets, *self.valid, *self.heldout):
            if mixture_set.jsonl:
                continue
            if mixture_set.dataset not in templates.dataset_names():
                if self.without_templates == LEAVE_OUT:
                    none[mixture_set.dataset] = None
            elif self._leaves_none(mixture_set, templates):
                unfit[mixture_set.dataset] = None
        if self.sets and all(mixture_set.dataset in none | unfit for mixture_set in self.sets):
            templates.of(self.sets[0].dataset)  # says what is missing
            raise UserError(
                f"mixture {self.name}: no set has a template of the original task; take all of them"
            )
        for names, why in ((none, "templates"), (unfit, "template of the original task")):
            if count := sum(mixture_set.dataset in names for mixture_set in self.sets):
                logger.warning(
                    "mixture %s: %d of %d sets have no %s and are left out: %s",
                    self.name, count, len(self.sets), why, ", ".join(names),
                )  # fmt: skip
        return self._without(none | unfit)

    def _leaves_none(self, mixture_set, templates):
        """Whether the mixture's ``templates`` leaves a set without any."""
        return (
            self.templates != ALL
            and mixture_set.templates == self.templates
            and not any(template.original_task for template in templates.of(mixture_set.dataset))
        )

    def _without(self, names):
        """This mixture without these data sets in any of its splits, which are then left out."""
        kept = {
            part: tuple(mixture_set for mixture_set in sets if mixture_set.dataset not in names)
            for part, sets in (("sets", self.sets), (VALID, self.valid), (HELDOUT, self.heldout))
        }
        gone = tuple(mixture_set for mixture_set in self.sets if mixture_set.dataset in names)
        return replace(self, **kept, left_out=self.left_out + gone)

    def _tasks_of(self, mixture_set, templates, mode):
        known = len(templates)
        pairs = [
            (task_name(mixture_set.name, template.name), template)
            for template in mixture_set.chosen(templates)
        ]
        pairs = [pair for pair in pairs if pair[0] not in self.exclude_tasks]
        if mode != flan.NATURAL:
            pairs = sorted(pairs, key=lambda pair: flan.unfit_for_answers(pair[1]))[:1]
        return [
            MixtureTask(name, mixture_set, template, index=i, of=len(pairs), known=known, mode=mode)
            for i, (name, template) in enumerate(pairs)
        ]

    def published_tasks(self):
        """The training tasks by the published counts alone, without names or templates: list."""
        return [
            MixtureTask(
                f"{mixture_set.name} {i + 1}", mixture_set, index=i, of=mixture_set.counts[0]
            )
            for mixture_set in self.sets
            for i in range(mixture_set.counts[0] if mixture_set.counts else 0)
        ]

    def caps_and_rates(self, rows, tasks):
        """The rule's caps and rates of ``tasks`` with this mixture's numbers: two dicts by task."""
        return caps_and_rates(self.rule, rows, tasks, self.cap, self.max_rate, self.temperature)

    def dress(self, task, row, prompted):
        """A prompted pair in this mixture's form: instruction or none, OPTIONS block or none."""
        if task.mode != flan.NATURAL:
            fields = flan.input_fields(task.template)
            cluster = task.set.cluster
            prompted = flan.plain(row, prompted, fields, task.mode, task.dataset, cluster)
        elif task.template is not None and task.template.complete:
            return prompted
        return flan.with_options(prompted) if self.options else prompted

    def clusters(self):
        """Clusters that are trained on, sorted: list of str."""
        return sorted({mixture_set.cluster for mixture_set in self.sets if mixture_set.cluster})

    def without_clusters(self, *clusters):
        """This mixture without the sets of ``clusters`` and of clusters related to one of them.

        FLAN's section 2.2: a cluster is evaluated by a model that was trained on no set of it.
        Raises :class:`UserError` for a cluster that the mixture does not have.
        """
        self._refuse_unknown_clusters(clusters)
        out = set(clusters)
        for cluster, other in self.related:
            out |= {other} if cluster in clusters else set()
            out |= {cluster} if other in clusters else set()
        mixture = self._training_on(lambda cluster: cluster.cluster not in out)
        return replace(mixture, held_out=tuple(sorted({*self.held_out, *out})))

    def refuse_trained_and_held_out(self):
        """Raise :class:`UserError` for a data set that is trained on and held out.

        Under another name and in part, it is the same: anli's rounds, ``glue/rte`` and
        ``super_glue/rte``. Held out are the sets under ``heldout``, and those that ``hold_out``
        removed: an outer mixture may have named them again.
        """
        for mixture_set in self.sets:
            place = f"mixture {self.name}: {mixture_set.name} stands under 'sets'"
            for other in self.heldout:
                if same_set(mixture_set.dataset, other.dataset):
                    known = (
                        "" if other.name == mixture_set.name else f" as {other.name}, the same data"
                    )
                    raise UserError(
                        f"{place} and under 'heldout'{known}; leave it out of one of them, or name "
                        "it under 'valid' to validate on other rows of it"
                    )
            if mixture_set.cluster in self.held_out:
                raise UserError(
                    f"{place}, but its cluster {mixture_set.cluster!r} under 'hold_out'; "
                    "leave it out of one"
                )
            for other in self.left_out:
                if other.cluster in self.held_out and same_set(mixture_set.dataset, other.dataset):
                    raise UserError(
                        f"{place}, but 'hold_out' removes {other.name}, the same data, with its "
                        f"cluster {other.cluster!r}; leave it out of one"
                    )

    def only_clusters(self, *clusters):
        """This mixture, trained on the sets of ``clusters`` alone (FLAN's section 4.1).

        Raises :class:`UserError` for a cluster that the mixture does not have.
        """
        self._refuse_unknown_clusters(clusters)
        return self._training_on(lambda mixture_set: mixture_set.cluster in clusters)

    def only_datasets(self, *names):
        """This mixture, trained on these data sets alone. Raises :class:`UserError` for another."""
        known = [mixture_set.dataset for mixture_set in self.sets]
        for name in names:
            if name not in known:
                raise UserError(
                    f"mixture {self.name}: no data set {name!r} ({nearest(name, known)})"
                )
        return self._training_on(lambda mixture_set: mixture_set.dataset in names)

    def _training_on(self, keep):
        """This mixture with the training sets for which ``keep`` is true; the others are left out."""
        kept = tuple(mixture_set for mixture_set in self.sets if keep(mixture_set))
        gone = tuple(mixture_set for mixture_set in self.sets if not keep(mixture_set))
        return replace(self, sets=kept, left_out=self.left_out + gone)

    def _refuse_unknown_clusters(self, clusters):
        known = self.clusters()
        for cluster in clusters:
            if cluster not in known:
                raise UserError(
                    f"mixture {self.name}: no cluster {cluster!r} ({nearest(cluster, known)})"
                )

    def without_datasets(self, *names):
        """This mixture without these data sets, in training, validation and evaluation.

        Its name says what it lacks, so that data built from it is not taken for the whole. Raises
        :class:`UserError` for a data set that the mixture does not have.
        """
        known = sorted(
            {mixture_set.dataset for mixture_set in (*self.sets, *self.valid, *self.heldout)}
        )
        for name in names:
            if name not in known:
                raise UserError(
                    f"mixture {self.name}: no data set {name!r} ({nearest(name, known)})"
                )
        name = " without ".join([self.name, *filter(None, [", ".join(names)])])
        return replace(self._without(names), name=name)

    def is_unseen(self, dataset, cluster=None):
        """Whether a data set counts as unseen: no set of its cluster was trained on (FLAN, 2.2).

        cluster: None for the one that this mixture gives the data set, in any of its splits.
        Raises :class:`UserError` where that is unknown.
        """
        if any(mixture_set.dataset == dataset for mixture_set in self.sets):
            return False
        cluster = cluster or self.cluster_of(dataset)
        if cluster is None:
            raise UserError(
                f"mixture {self.name}: no cluster known of data set {dataset!r}; name it under "
                "'heldout' with a 'cluster'"
            )
        return cluster not in self.clusters()

    def cluster_of(self, dataset):
        """The cluster of a data set that the mixture trains on, evaluates or left out, or None."""
        for mixture_set in (*self.sets, *self.valid, *self.heldout, *self.left_out):
            if mixture_set.dataset == dataset and mixture_set.cluster:
                return mixture_set.cluster
        return None
