"""What a check of a recipe says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """`check` is the name by which `kto: {allow: [...]}` accepts a trap; a wrong shape or an unknown key cannot be."""

    check: str
    message: str
