"""Many calls of one function in worker processes, results as they come.

Processes are spawned, not forked: a fork of a process with threads (numba's, Arrow's) may hang. Workers end with
their parent, even if that was killed.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Final, TypeVar

from glbdes.errors import GlbdesError

Job = TypeVar("Job")
Result = TypeVar("Result")

WATCH_S: Final = 0.5  # how often a worker looks whether its parent lives


class WorkerError(GlbdesError):
    """A worker process that died, killed or out of memory."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Result]]:
    """`(job, function(job))` of every job in the order in which they end, on up to `workers` processes.

    With one worker everything runs in this process. `function` must be importable by name. Whatever it raises is raised
    here, and what was not begun is dropped. Raises `WorkerError` if a worker dies.
    """
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, function(job)
        return
    count = min(workers, len(jobs))
    threads = max(1, processors() // count)
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_begin, initargs=(os.getpid(), threads))
    try:
        waiting = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    except BrokenProcessPool as error:
        raise WorkerError("a worker process died (killed, or out of memory); try fewer with --workers") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int, threads: int) -> None:
    """What a worker does first: share the processors with the others, and watch over its parent."""
    os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
