"""Numbers in words."""


def percent(share: float) -> str:
    """0.5 → "50 %", which no line break parts; what is little but not nothing is not called 0 %."""
    return "under 1\N{NO-BREAK SPACE}%" if 0 < share < 0.005 else f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
