"""Worker processes that turn chunks of data into results, in the chunks' order."""

import collections
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from fairseq_metro.common.errors import UserError


def available_cores():
    """How many cores this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0))


class Workers:
    """``workers`` processes, each prepared by ``set_up(*arguments)``, that do ``work(chunk)``.

    At most ``2 * workers + 2`` chunks are in memory. One worker means: in this process. ``set_up``
    and ``work`` are functions of a module, for other processes to find.
    """

    def __init__(self, workers, set_up, arguments, work):
        self.workers = workers
        self._set_up, self._arguments, self._work = set_up, arguments, work
        self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, chunks):
        """Yield the result of each chunk, in their order."""
        if self.workers == 1:
            self._set_up(*self._arguments)
            yield from map(self._work, chunks)
            return
        if self._pool is None:
            self._pool = self._start_pool()
        waiting = collections.deque()
        try:
            for chunk in chunks:
                waiting.append(self._pool.submit(self._work, chunk))
                if len(waiting) > 2 * self.workers + 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            let_end(self._pool)
            raise UserError(
                "a worker process was killed (too little memory?); run again with fewer --workers"
            ) from None
        finally:
            for future in waiting:
                future.cancel()

    def _start_pool(self):
        # A fork starts at once, but not safely beside the threads of torch.
        fork = sys.platform == "linux" and "torch" not in sys.modules
        # Python runs hooks around a fork and drops an exception in them: Ctrl-C has to wait.
        with signals_waiting():
            pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("fork" if fork else "spawn"),
                initializer=_start_worker,
                initargs=(os.getpid(), self._set_up, self._arguments),
            )
            for _ in range(self.workers):
                pool.submit(int)
        return pool


def let_end(pool):
    """Let a broken pool shut down.

    Python before 3.11.5, Debian's among them, waits there for a thread that writes to a pipe which
    no worker reads any more, for good (python/cpython issue 94777). Later versions close the
    pipe's other end themselves; doing it twice is no harm.
    """
    with contextlib.suppress(AttributeError, OSError):
        pool._call_queue._reader.close()


SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def signals_waiting():
    """Deliver Ctrl-C and SIGTERM only after the block."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _start_worker(parent, set_up, arguments):
    # The parent alone answers Ctrl-C; if it is killed, its workers must not stay.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    set_up(*arguments)


def _follow(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
