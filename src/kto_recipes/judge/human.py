"""Judge a run in the browser: the page until everything is judged, then the result."""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kto_recipes.judge.ballot import VERSION, Ballot
from kto_recipes.judge.model import Outcome
from kto_recipes.judge.pairs import Pair
from kto_recipes.judge.result import HUMAN, judge_folder, result, write_result
from kto_recipes.ports import listening

_NO_COST = {"prompt_tokens": None, "completion_tokens": None, "dollars": None}


def judge_by_person(
    run: Path, pairs: Sequence[Pair], said: dict[str, Any], tell: Callable[[str], None]
) -> tuple[Outcome, bool]:
    """Serve the page until it is finished or stopped, then write the result of what was judged.

    Args:
        run: the run's folder; choices are kept in judge/human.answers.jsonl as they are made.
        pairs: what is to be judged.
        said: what the result's settings are to hold.
        tell: called with the page's address.

    Returns:
        The outcome, and whether a person stopped it with Ctrl-C.
    """
    folder = judge_folder(run)
    with Ballot(pairs, folder / f"{HUMAN}.answers.jsonl") as ballot:
        before = ballot.done

        def value() -> dict[str, Any]:
            cost = {"requests": ballot.done, "cached": min(before, ballot.done), **_NO_COST}
            return result(run, HUMAN, VERSION, pairs, ballot.judged(), settings=said, cost=cost, missing={})

        stopped = ballot.done < ballot.total and _serve(ballot, value, tell)
        found = value()
        asked_now = max(0, ballot.done - before)
    path = folder / f"{HUMAN}.json"
    return Outcome(found, path if write_result(path, found) else None, asked_now, None), stopped


def _serve(ballot: Ballot, value: Callable[[], dict[str, Any]], tell: Callable[[str], None]) -> bool:
    """Until the page says that it is finished; True when it was stopped before."""
    import uvicorn

    from kto_recipes.judge.page import app

    token = secrets.token_urlsafe(16)
    with listening("127.0.0.1", 0) as opened:
        tell(f"http://127.0.0.1:{opened.getsockname()[1]}/{token}/")
        pages = app(ballot, value, token, on_finish=lambda: setattr(server, "should_exit", True))
        server = uvicorn.Server(uvicorn.Config(pages, log_level="error", timeout_graceful_shutdown=2))
        try:
            server.run(sockets=[opened])
        except KeyboardInterrupt:
            return True
    return False
