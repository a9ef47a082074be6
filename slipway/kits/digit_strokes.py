"""Digits as a visitor draws or photographs them, for examples, reports and tests."""

from itertools import pairwise

import numpy as np
import PIL.Image
import PIL.ImageDraw

# The strokes of each digit as points x,y in a square of side 100, y downwards.
STROKES = {
    "0": ["55,2 30,10 15,40 20,75 42,98 68,88 82,55 75,20 55,2"],
    "1": ["42,20 58,2 52,50 48,98"],
    "2": ["18,25 30,7 55,2 75,15 72,38 50,65 15,95 50,93 88,96"],
    "3": ["20,12 45,2 72,10 72,30 42,46 70,55 80,75 60,95 35,98 15,87"],
    "4": ["35,2 15,55 85,55", "68,20 62,98"],
    "5": ["78,3 30,5 25,42 50,38 75,50 78,75 55,96 30,97 15,88"],
    "6": ["70,3 40,20 22,50 20,80 42,98 70,90 75,68 55,52 25,68"],
    "7": ["15,6 50,4 85,5 60,45 40,98"],
    "8": ["60,48 30,30 32,10 55,2 75,12 70,32 45,50 25,72 30,92 55,98 75,85 60,48"],
    "9": ["75,30 50,50 27,42 25,18 50,3 72,10 76,30 70,65 60,98"],
}
# Strokes are drawn at this many times the size, then scaled down, so that their edges are smooth.
FINE = 4


def draw_digit(
    digit: str,
    *,
    side: int = 280,
    height: float = 200,
    place: tuple[float, float] = (40, 40),
    stroke: float = 20,
    ink: int = 255,
    paper: int = 0,
) -> np.ndarray:
    """Return a drawing (side, side) uint8 of a digit whose upper left corner is at `place`.

    The usual values are those of the drawing area on a model's page.
    """
    picture = PIL.Image.new("L", (FINE * side, FINE * side), paper)
    pen = PIL.ImageDraw.Draw(picture)
    width = FINE * stroke
    for text in STROKES[digit]:
        line = [(float(x) / 100, float(y) / 100) for x, y in (p.split(",") for p in text.split())]
        points = [
            (FINE * (place[0] + height * x), FINE * (place[1] + height * y))
            for x, y in rounded(line)
        ]
        pen.line(points, fill=ink, width=round(width), joint="curve")
        for x, y in points:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=ink)
    return np.asarray(picture.resize((side, side), PIL.Image.Resampling.BOX))


def rounded(line: list[tuple[float, float]], times: int = 3) -> list[tuple[float, float]]:
    """Return a line whose corners are cut off again and again (Chaikin 1974)."""
    for _ in range(times):
        cut = [line[0]]
        for (x1, y1), (x2, y2) in pairwise(line):
            cut += [
                (0.75 * x1 + 0.25 * x2, 0.75 * y1 + 0.25 * y2),
                (0.25 * x1 + 0.75 * x2, 0.25 * y1 + 0.75 * y2),
            ]
        line = [*cut, line[-1]]
    return line


def photographed(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a digit (28, 28), light on black, as a photograph of dark ink on paper, uint8.

    Size and place are random, light falls from one side, and each pixel has noise.
    """
    height, width = (int(each) for each in generator.integers(160, 400, 2))
    size = int(generator.integers(90, 150))
    picture = PIL.Image.fromarray(pixels).resize((size, size), PIL.Image.Resampling.BICUBIC)
    ink = np.zeros((height, width))
    top, left = (int(generator.integers(0, each - size + 1)) for each in (height, width))
    ink[top : top + size, left : left + size] = np.asarray(picture) / 255.0
    paper = generator.uniform(170, 240) + np.linspace(-12, 12, width) * generator.choice([-1, 1])
    shot = paper * (1 - ink) + generator.uniform(20, 70) * ink + generator.normal(0, 3, ink.shape)
    return np.asarray(np.clip(np.round(shot), 0, 255)).astype(np.uint8)
