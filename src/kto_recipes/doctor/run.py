"""All checks in their order: the quick ones on the files first, then the machine, and two real steps last."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from kto_recipes.doctor.finding import Finding, accepted
from kto_recipes.doctor.plan import Plan
from kto_recipes.errors import UserError

Check = Callable[[], Iterable[Finding]]


def examine(plan: Plan, on_check: Callable[[str], None], *, smoke: bool = True) -> list[Finding]:
    """The findings of all checks.

    Wrong files end it within seconds, before anything heavy is imported or asked. The smoke run, minutes, needs
    all before it to be free of errors.

    Args:
        on_check: called with what is looked at next, in words.
        smoke: whether to train the two steps.
    """
    on_check("recipe and data")
    findings = _findings(plan, [("first_pass", lambda: _first_pass(plan))])
    if has_errors(findings):
        return findings
    on_check("machine")
    findings += _findings(plan, _machine_checks(plan))
    for stage in plan.stages if smoke else ():
        if has_errors(findings):
            message = f"the two real steps of {stage.upper()} were skipped, because an error stands above"
            return [*findings, Finding("smoke", "warning", message)]
        on_check(f"two steps of {stage.upper()} with the longest rows")
        findings += _findings(plan, [("smoke", lambda stage=stage: [_smoke(plan, stage)])])
    return findings


def has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.status == "error" for finding in findings)


def _findings(plan: Plan, checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """What the checks find; one that stops unexpectedly is an error with its name, so that the others still speak."""
    found: list[Finding] = []
    for name, check in checks:
        try:
            found += check()
        except UserError as error:
            found.append(Finding(name, "error", str(error)))
        except Exception as error:
            message = f"this check stopped: {type(error).__name__}: {error}"
            advice = f"If the recipe is right, please report it. To go on without: kto: {{allow: [{name}]}}"
            found.append(Finding(name, "error", message, advice))
    return accepted(found, plan.allowed)


def _first_pass(plan: Plan) -> Iterator[Finding]:
    from kto_recipes.doctor.first_pass import first_pass
    from kto_recipes.recipe import problems

    for stage in plan.stages:
        data = plan.data_folder(stage)
        original = plan.recipe / f"{stage}.yaml"
        if not problems(original):
            yield Finding("recipe", "ok", f"{original}: no unknown key and no known trap")
        copy = plan.write_filled(stage, data or plan.run / "data")
        for finding in first_pass(copy):  # told with the name of the file that a person edits
            yield replace(finding, message=finding.message.replace(str(copy), str(original)))


def _machine_checks(plan: Plan) -> list[tuple[str, Check]]:
    from kto_recipes.doctor.access import access_finding
    from kto_recipes.doctor.cost import cost_finding
    from kto_recipes.doctor.disk import disk_findings
    from kto_recipes.doctor.machine import gpus_found, machine_findings

    found: list[Finding] = []
    try:
        gpus = gpus_found()
    except UserError as error:
        gpus = []
        found.append(Finding("gpu", "error", str(error), "Repair the driver, or take another machine."))
    recipes = list(plan.stages.values())
    return [
        ("gpu", lambda: found),
        ("machine", lambda: machine_findings(recipes, gpus, plan.gpus, plan.header)),
        ("memory", lambda: _memory(plan, gpus)),
        ("disk", lambda: disk_findings(plan)),
        ("access", lambda: [access_finding(plan.base_model)]),
        ("cost", lambda: [cost_finding(plan, gpus, plan.results())]),
    ]


def _memory(plan: Plan, gpus: list) -> Iterator[Finding]:
    from kto_recipes.doctor.machine import needs_gpu
    from kto_recipes.doctor.memory import GIB, memory_finding
    from kto_recipes.doctor.shapes import shape_of

    smallest = min((gpu for gpu in gpus if gpu.gib), key=lambda gpu: gpu.gib, default=None)
    main_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    results = plan.results()
    for stage, recipe in plan.stages.items():
        yield memory_finding(
            stage,
            recipe,
            shape_of(plan.start_model(stage)),
            smallest,
            results,
            gpus=plan.gpus,
            main_memory=None if gpus or needs_gpu(recipe) else main_memory,
        )


def _smoke(plan: Plan, stage: str) -> Finding:
    from kto_recipes.doctor.smoke import smoke_finding

    return smoke_finding(plan, stage)
