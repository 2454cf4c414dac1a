"""Processes that share the work on a large input; for a small one nothing is started."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from kto_recipes.errors import UserError

_MOST = 8  # more only wait for the disk

Job = TypeVar("Job")
Result = TypeVar("Result")


class Workers:
    """Maps functions over jobs; a context manager. Results do not depend on how many processes there are."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def start(self) -> None:
        """Share what is mapped from now on."""
        # Spawned: numpy's and pyarrow's threads would not survive a fork.
        context = multiprocessing.get_context("spawn")
        processes = min(len(os.sched_getaffinity(0)), _MOST)
        # An interrupt from the keyboard goes to all of them; this process ends the others.
        ignore = signal.signal, (signal.SIGINT, signal.SIG_IGN)
        self._pool = ProcessPoolExecutor(processes, context, *ignore)

    def map(
        self, function: Callable[[Job], Result], jobs: Iterable[Job], on_done: Callable[[int, int], None] | None = None
    ) -> list[Result]:
        """`function` of each job, in order; `on_done` is called with how many of how many are done.

        A job is begun as soon as `jobs` yields it.

        Raises:
            UserError: of the first job that raised one, or where a process was ended from outside.
        """
        if self._pool is None:
            return [function(job) for job in jobs]
        begun = [self._pool.submit(function, job) for job in jobs]
        results = []
        try:
            for future in begun:
                results.append(future.result())
                if on_done:
                    on_done(len(results), len(begun))
        except BrokenProcessPool:
            raise UserError("a worker process was ended from outside; most often there was too little memory") from None
        return results
