"""Compare a run's KTO model with the models before it, reply by reply, as a model or a person judges them.

    python scripts/judge.py outputs/<run> --judge gpt-4.1-mini --url https://api.openai.com/v1
    python scripts/judge.py outputs/<run> --judge human

Reads the run's samples.jsonl; writes judge/<judge>.json, and beside it every answer as it comes, so that the same
command asks for nothing twice. Prints the result.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kto_recipes.cli import run as run_command


def main(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    judge: Annotated[str, typer.Option(help="A model as the server names it, or human.")],
    url: Annotated[str | None, typer.Option(help="Of an OpenAI-compatible server, up to /v1.")] = None,
    key_variable: Annotated[str, typer.Option(help="The environment variable with the key.")] = "OPENAI_API_KEY",
    against: Annotated[str | None, typer.Option(help="Models to compare with: sft,base (default: those two).")] = None,
    replies: Annotated[
        Literal["greedy", "sampled"], typer.Option(help="Greedy replies, or the first sampled ones.")
    ] = "greedy",
    limit: Annotated[int | None, typer.Option(help="Prompts to judge at most, drawn at random.", min=1)] = None,
    reference: Annotated[bool, typer.Option(help="Show a judge model the liked answer in the data.")] = True,
    max_new_tokens: Annotated[int, typer.Option(help="Of a judge model's answer.", min=1)] = 512,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once.", min=1)] = 8,
    price_in: Annotated[float | None, typer.Option(help="Dollars per million tokens read.", min=0)] = None,
    price_out: Annotated[float | None, typer.Option(help="Dollars per million tokens written.", min=0)] = None,
) -> None:
    """Compare a run's KTO model with the models before it, reply by reply, as a model or a person judges them."""
    from kto_recipes.errors import UserError
    from kto_recipes.judge.console import cost_line, print_judged
    from kto_recipes.judge.pairs import read_pairs
    from kto_recipes.judge.result import HUMAN

    if (judge == HUMAN) != (url is None):
        raise UserError("--url goes with a judge model, which needs one, and not with --judge human")
    if (price_in is None) != (price_out is None):
        raise UserError("--price-in and --price-out: give both, or none")
    opponents = None if against is None else [name.strip() for name in against.split(",")]
    pairs = read_pairs(run, opponents, replies, limit)
    said = {"replies": replies, "limit": limit}
    stopped = False
    if url is None:
        from kto_recipes.judge.human import judge_by_person

        outcome, stopped = judge_by_person(run, pairs, said, _tell)
    else:
        from kto_recipes.judge.model import JudgeSettings, judge_by_model
        from kto_recipes.progress import tasks

        settings = JudgeSettings(max_new_tokens, reference, price_in, price_out)
        endpoint = _endpoint(url=url, model=judge, key_variable=key_variable, concurrency=concurrency)
        with tasks() as start_task:
            outcome = judge_by_model(run, pairs, endpoint, settings, said, start_task)
    if outcome.path is not None:
        print_judged(outcome.value, outcome.path)
        if url is not None:
            print(cost_line(outcome.value["cost"], outcome.asked_now))
    if outcome.problem is not None:
        raise outcome.problem
    if stopped:
        raise typer.Exit(130)


def _tell(address: str) -> None:
    print(f"open {address} in a browser on this machine; Ctrl-C stops, and the same command goes on", flush=True)


def _endpoint(**values):
    from pydantic import ValidationError

    from kto_recipes.errors import UserError
    from kto_recipes.settings import Endpoint

    try:
        return Endpoint(**values)
    except ValidationError:
        raise UserError(f"--url {values['url']}: give the server's URL, as in http://127.0.0.1:8000/v1") from None


if __name__ == "__main__":
    run_command(main)
