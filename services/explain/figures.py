"""Figures on the dashboard's page."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def draw(place: Any, figure: Figure) -> None:
    """Show the figure in a place of the page, and free its memory."""
    place.pyplot(figure)
    plt.close(figure)
