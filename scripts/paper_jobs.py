"""Steps of an experiment in several processes, each once what it needs is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, NamedTuple


class Job(NamedTuple):
    """``step(item, args)``, and the jobs that can be done after it."""

    step: Callable[[Any, Any], None]
    item: Any
    then: tuple[Job, ...] = ()


def run_jobs(jobs: Sequence[Job], args: Any, processes: int, what: str) -> None:
    """All jobs, ``processes`` at a time; with one, in this process."""
    from tqdm import tqdm

    with tqdm(total=_count(jobs), desc=what) as bar:
        if processes > 1:
            _in_parallel(jobs, args, processes, bar)
            return
        todo = list(jobs)
        while todo:
            job = todo.pop(0)
            job.step(job.item, args)
            bar.update()
            todo[:0] = job.then


def _in_parallel(jobs: Sequence[Job], args: Any, processes: int, bar: Any) -> None:
    running: dict[Future[None], Job] = {}
    # Not forked: torch's threads do not survive it.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:

        def submit(ready: Sequence[Job]) -> None:
            for job in ready:
                running[pool.submit(job.step, job.item, args)] = job

        submit(jobs)
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    bar.update()
                    submit(running.pop(future).then)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _count(jobs: Sequence[Job]) -> int:
    return sum(1 + _count(job.then) for job in jobs)
