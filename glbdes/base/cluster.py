"""Many calls of one function on the workers of a dask cluster, results as they come."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar
from uuid import uuid4

from glbdes.errors import RecordsError

Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES: Final = 5  # of a job whose worker died


def on_cluster(function: Callable[[Job], Result], jobs: Sequence[Job], address: str) -> Iterator[tuple[Job, Result]]:
    """`(job, function(job))` of every job as the cluster's workers give them; a job whose worker dies goes to another.

    Whatever `function` raises is raised here. Raises `RecordsError` without dask, or a scheduler at `address`.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise RecordsError("--dask needs dask.distributed: pip install 'glbdes[dask]'") from error
    connect: Any = Client  # distributed has no type hints
    ended: Any = as_completed
    try:
        client = connect(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RecordsError(f"no dask scheduler at {address}: {error}") from error
    with client:
        prefix = uuid4().hex[:8]  # others on the same cluster may have the same jobs
        waiting = {
            client.submit(function, job, key=f"{prefix}-{n}", retries=RETRIES): job for n, job in enumerate(jobs)
        }
        for future in ended(list(waiting), loop=client.loop):
            yield waiting[future], future.result()
            future.release()
