"""How a figure is written for people, in tables and pictures."""


def figure(value: float) -> str:
    """Four digits, and from a thousand on all before the point: 0.8134, 43,391."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
