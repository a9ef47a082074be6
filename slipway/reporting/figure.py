"""Formatting of numbers in tables and plots."""


def figure(value: float) -> str:
    """Format with four significant digits, or as an integer from 1,000 on: 0.8134, 43,391."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
