"""The same operations by OpenCV's own functions, which own code is compared with."""

from collections.abc import Sequence

import cv2
import numpy as np

from . import operations as own
from .operations import Canvas, Operation, plan

INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
}
CONVERSIONS = {
    ("rgb", "bgr"): cv2.COLOR_RGB2BGR,
    ("bgr", "rgb"): cv2.COLOR_BGR2RGB,
    ("rgb", "gray"): cv2.COLOR_RGB2GRAY,
    ("gray", "rgb"): cv2.COLOR_GRAY2RGB,
    ("rgb", "hsv"): cv2.COLOR_RGB2HSV,
    ("hsv", "rgb"): cv2.COLOR_HSV2RGB,
    ("rgb", "lab"): cv2.COLOR_RGB2Lab,
}


def opencv_apply(pixels: np.ndarray, operations: Sequence[Operation]) -> np.ndarray:
    """Return a picture (height, width, 3) in RGB after all operations."""
    stages = plan(operations, Canvas(*pixels.shape[:2]))
    for operation, before, after in zip(operations, stages[:-1], stages[1:], strict=True):
        pixels = opencv_step(np.ascontiguousarray(pixels), operation.step, before, after)
    return np.ascontiguousarray(pixels)


def opencv_step(pixels: np.ndarray, step: own.Step, before: Canvas, after: Canvas) -> np.ndarray:
    """Return what OpenCV makes of a picture by one operation."""
    size = after.width, after.height
    match step:
        case own.Resize():
            return cv2.resize(pixels, size, interpolation=INTERPOLATION[step.method])
        case own.Crop():
            return step.apply(pixels, before.space, fixed=True)
        case own.Flip():
            return cv2.flip(pixels, 1 if step.direction == "horizontal" else 0)
        case own.Rotate():
            middle = ((before.width - 1) / 2, (before.height - 1) / 2)
            matrix = np.array(cv2.getRotationMatrix2D(middle, step.degrees, 1))
            matrix[0, 2] += (after.width - before.width) / 2
            matrix[1, 2] += (after.height - before.height) / 2
            return cv2.warpAffine(pixels, matrix, size, flags=INTERPOLATION[step.method])
        case own.Affine():
            matrix = np.reshape(step.matrix, (2, 3))
            return cv2.warpAffine(pixels, matrix, size, flags=INTERPOLATION[step.method])
        case own.Convert():
            same = step.to == before.space
            return pixels if same else cv2.cvtColor(pixels, CONVERSIONS[before.space, step.to])
        case own.Box():
            return cv2.blur(pixels, (2 * step.radius + 1,) * 2)
        case own.Gaussian():
            return cv2.GaussianBlur(pixels, (0, 0), step.sigma)
        case own.Median():
            return cv2.medianBlur(pixels, 2 * step.radius + 1)
        case own.Sharpen():
            blurred = cv2.GaussianBlur(pixels, (0, 0), step.sigma)
            return cv2.addWeighted(pixels, 1 + step.amount, blurred, -step.amount, 0)
        case own.Edges():
            gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
            across, down = (cv2.Sobel(gray, cv2.CV_32F, *each) for each in ((1, 0), (0, 1)))
            edges = cv2.convertScaleAbs(cv2.magnitude(across, down))
            if step.threshold:
                _, edges = cv2.threshold(edges, step.threshold - 1, 255, cv2.THRESH_BINARY)
            return edges
    raise TypeError(f"no operation of OpenCV for {type(step).__name__}")
