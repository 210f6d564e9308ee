"""Parse fairseq's JSON log: the records of one run, including its resumptions."""

import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime

from fairseq_metro.common.errors import UserError

# 2026-01-31 04:00:00 | INFO | train_inner | {"epoch": 1, ...}          fairseq-train
# [2026-01-31 04:00:00,123][train_inner][INFO] - {"epoch": 1, ...}      fairseq-hydra-train
_PLAIN = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \| (\w+) \| ([^|]+?) \| (.*)$")
_HYDRA = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+\]\[([^\]]+)\]\[(\w+)\] - (.*)$")
_PARAMETERS = re.compile(r"num\. shared model params: ([\d,]+)")
_SEED = re.compile(r"'seed': (\d+)")
_MAX_UPDATE = re.compile(r"'max_update': (\d+)")
# A value of the printed config: 'rtd_on': encoder, 'lr': [0.001], 'save_dir': 'runs/1'.
_OPTION = re.compile(r"'(\w+)': (?:'([^']*)'|\[([^\]]*)\]|([^,{}]+))")
_FIRST_LOGGER = "fairseq_cli.train"

TRAIN, EPOCH, VALID, START = "train_inner", "train", "valid", "start"


@dataclass(frozen=True)
class Line:
    """One log line taken apart."""

    time: datetime
    level: str
    logger: str
    message: str


@dataclass(frozen=True)
class Record:
    """The numbers fairseq logged after ``update`` updates, names without the split's prefix."""

    update: int
    values: dict


@dataclass
class Log:
    """Everything this package reads out of a log.

    ``train``: a record per log interval; ``epochs``: one per epoch; ``valid``: one per validation;
    ``start``: the validation before update 1, or None. Updates rise strictly in each list.
    ``options``: the printed config as name -> text; of equal names the last one, which is fine for
    a model's and a task's own.
    """

    train: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    valid: list = field(default_factory=list)
    start: Record | None = None
    parameters: int | None = None
    seed: int | None = None
    max_update: int | None = None
    options: dict = field(default_factory=dict)
    seconds: float = 0.0


def parse_line(text):
    """A log line as :class:`Line`, or None where it is none (a traceback, a printed model).

    >>> parse_line('2026-01-31 04:00:00 | INFO | train | {"epoch": 1}').logger
    'train'
    """
    if match := _PLAIN.match(text):
        time, level, logger, message = match.groups()
    elif match := _HYDRA.match(text):
        time, logger, level, message = match.groups()
    else:
        return None
    return Line(datetime.strptime(time, "%Y-%m-%d %H:%M:%S"), level, logger, message)


def _number(value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def parse_record(line):
    """The numbers of a JSON line as :class:`Record`, or None (another line, a truncated one)."""
    if line.logger not in (TRAIN, EPOCH, VALID, START) or not line.message.startswith("{"):
        return None
    try:
        stats = json.loads(line.message)
    except (ValueError, RecursionError):
        return None
    prefix = "" if line.logger == TRAIN else f"{line.logger}_"
    values = {key.removeprefix(prefix): _number(value) for key, value in stats.items()}
    values = {key: value for key, value in values.items() if value is not None}
    if "num_updates" not in values and line.logger != START:
        return None
    return Record(int(values.get("num_updates", 0)), values)


def append(kept, record):
    """Add a record to a list whose updates rise.

    After a resume fairseq repeats the updates since the last checkpoint: the later numbers replace
    the earlier ones.
    """
    while kept and kept[-1].update >= record.update:
        kept.pop()
    kept.append(record)


def parse_log(lines, keep=append):
    """Read an iterable of log lines into a :class:`Log`.

    keep: ``append``, or another function (list, record) that adds a record, for less memory.
    ``seconds`` adds up the time of each process, without the pauses between.
    """
    log = Log()
    series = {TRAIN: log.train, EPOCH: log.epochs, VALID: log.valid}
    began = previous = None
    for text in lines:
        line = parse_line(text.rstrip("\n"))
        if line is None:
            continue
        if line.logger == _FIRST_LOGGER and line.message.startswith("{'_name'"):
            # fairseq prints its config first of all: a process begins here.
            log.seconds += (previous - began).total_seconds() if began else 0.0
            began = line.time
            log.seed = _first_int(_SEED, line.message, log.seed)
            log.max_update = _first_int(_MAX_UPDATE, line.message, log.max_update)
            options = _OPTION.findall(line.message)
            log.options = {name: "".join(value) for name, *value in options}
        began, previous = began or line.time, line.time
        log.parameters = _first_int(_PARAMETERS, line.message, log.parameters)
        record = parse_record(line)
        if record is None:
            continue
        if line.logger == START:
            log.start = record
            continue
        keep(series[line.logger], record)
    log.seconds += (previous - began).total_seconds() if began else 0.0
    return log


def _first_int(pattern, message, otherwise):
    match = pattern.search(message)
    return int(match.group(1).replace(",", "")) if match else otherwise


def find_log(path):
    """The log of a run's folder; what is there and is no folder is taken as the log itself."""
    if path.exists() and not path.is_dir():
        return path
    names = ("train.log", "hydra_train.log")
    return next((path / name for name in names if (path / name).exists()), path / names[0])


def read_log(path, keep=append):
    """:func:`parse_log` of a file. Raises :class:`UserError` where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return parse_log(stream, keep)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a run's folder") from None
