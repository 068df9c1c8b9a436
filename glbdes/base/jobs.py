"""Many calls of one function in worker processes, results as they come.

Processes are spawned, not forked: a fork of a process with threads (numba's, Arrow's) may hang. Workers end with
their parent, even if that was killed, and at once when nobody waits for them any more; Ctrl-C is their parent's matter.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from glbdes.errors import GlbdesError

_OWN = {"threads": 0}  # of a worker: its share of the processors; 0: all

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerError(GlbdesError):
    """A worker process that died, killed or out of memory."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """How many threads this process should run: as many as there are processors, in a worker its share of them."""
    return _OWN["threads"] or processors()


def each(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Result]]:
    """`(job, function(job))` of every job in the order in which they end, on up to `workers` processes.

    With one worker everything runs in this process. `function` must be importable by name. Whatever it raises is raised
    here, and what was not begun is dropped. Raises `WorkerError` if a worker dies.
    """
    with processes(min(workers, len(jobs))) as run:
        yield from run(function, jobs)


class Each(Protocol[Job, Result]):
    """`each` on processes that are there."""

    def __call__(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[Job, Result]]: ...


@contextmanager
def processes(workers: int) -> Iterator[Each[Any, Any]]:
    """`each`, as often as one likes, on the same `workers` processes, which end with the block."""
    if workers <= 1:
        yield lambda function, jobs: ((job, function(job)) for job in jobs)
        return
    share = max(1, processors() // workers)
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(theirs, share))

    def run(function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        with _no_interrupt():  # which those who are born now inherit
            waiting = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(waiting):
            yield waiting[future], future.result()

    try:
        yield run
    except BrokenProcessPool as error:
        raise WorkerError("a worker process died (killed, or out of memory); try fewer with --workers") from error
    except BaseException:
        ours.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        theirs.close()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """No Ctrl-C meanwhile, where that is this thread's to say."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(parent: Connection, share: int) -> None:
    """What a worker does first: share the processors with the others, and watch over its parent."""
    _OWN["threads"] = share
    os.environ.setdefault("NUMBA_NUM_THREADS", str(share))
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent.poll(None)  # until the other end is closed: by the parent, or with it
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
