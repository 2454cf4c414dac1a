"""What a preflight check says."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One check's answer: what was found, in a sentence, and what to do about it.

    `check` is the name by which `kto: {allow: [...]}` in the recipe accepts an error.
    """

    check: str
    status: Status
    message: str
    advice: str = ""


def accepted(findings: Iterable[Finding], allowed: Iterable[str]) -> list[Finding]:
    """`findings`, where an error whose check is named in `allowed` is a warning that says so."""
    names = set(allowed)
    return [
        replace(finding, status="warning", message=f"accepted by kto.allow: {finding.message}")
        if finding.status == "error" and finding.check in names
        else finding
        for finding in findings
    ]
