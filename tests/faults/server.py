"""A process that has imported everything once, and forks itself for each command it is asked for.

A start of torch and fairseq takes seconds, in which nothing can be lost; a fork of this process is at
work at once, and every instant of a kill is one at which something happens. It reads requests from
standard input, a line of JSON each, and answers with a line of JSON.

A request: words; said, the file of its output; seconds it may run, or null; signal that it is ended by
then; limit, the bytes that a file may have, or null; bound, whether permissions bind it although it is
root; fault, of :mod:`tests.faults.inflicted`, a name and its arguments, or null. The answer: status,
negative for a signal; ended, whether by itself; seconds.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time

from tests.faults import inflicted

ENDING = 120  # seconds that a process has to end when it was asked to


def commands():
    """{program: its main function}; the imports of all of them."""
    import fairseq_cli.train
    import torch._dynamo  # by the first optimizer otherwise, in each fork

    import fairseq_metro
    import fairseq_metro.__main__
    import fairseq_metro.evaluate.command
    import fairseq_metro.evaluate.fewshot.command
    import fairseq_metro.prepare.binarize
    import fairseq_metro.prepare.teacher_cache
    import fairseq_metro.prepare.train_vocabulary

    torch.set_num_threads(1)
    fairseq_metro.register()
    return {
        "fairseq-train": fairseq_cli.train.cli_main,
        "fairseq-metro": lambda: sys.exit(fairseq_metro.cli.main()),
    }


def limit_files(size):
    """No file above a size: what a full disk does to a write, as an error and not as a signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def obey_permissions():
    """Give up root's right to read and write whatever the permissions say, here and after exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: low halves, then high ones
    libc.capget(header, sets)
    for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP
        for place in range(3):
            sets[place] &= ~(1 << right)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def become(request):
    """In the fork: a process group of its own, its output in a file, the command's words."""
    os.setsid()
    die_with_parent()
    said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, said), (2, said)):
        os.dup2(file, number)
    if request["limit"] is not None:
        limit_files(request["limit"])
    if request["bound"]:
        obey_permissions()
    if request["fault"]:
        name, *arguments = request["fault"]
        getattr(inflicted, name)(*arguments)
    sys.argv = request["words"]


def followed(child, seconds, with_signal):
    """Wait for a child, or end its group after so many seconds: (status, ended by itself)."""
    until, asked = time.monotonic() + (ENDING * 4 if seconds is None else seconds), False
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        # A fork that has no group of its own yet has not begun with anything.
        if time.monotonic() > until and os.getpgid(child) == child:
            # Asked once, it has time to end; then it is made to.
            os.killpg(child, signal.SIGKILL if asked or seconds is None else with_signal)
            until, asked = time.monotonic() + ENDING, True
        time.sleep(0.002)
    if asked and with_signal == signal.SIGKILL:
        wait_for_group(child)
    return os.waitstatus_to_exitcode(status), not asked


def wait_for_group(group):
    """Until its other members, killed with the first, are gone as well."""
    until = time.monotonic() + ENDING
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)


def die_with_parent():
    """Should the tests be killed themselves, nothing of theirs runs on."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main():
    die_with_parent()
    known = commands()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            become(request)
            return known[request["words"][0]]()  # an exception leaves main() as in any program
        status, ended = followed(child, request["seconds"], request["signal"])
        answer = {"status": status, "ended": ended, "seconds": time.monotonic() - began}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
