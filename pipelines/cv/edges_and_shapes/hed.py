"""A network that finds edges, to compare with: Xie and Tu, Holistically-Nested Edge Detection.

VGG-16 without its last pooling; each of its five scales gives a map of edges, and a sixth mixes the
five. The weights were fine-tuned on the Berkeley segmentation data set.
"""

import h5py  # type: ignore[import-untyped]
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.datasets import fetch

LAYERS = (2, 2, 3, 3, 3)
# The mean of the training pictures in blue, green and red.
MEAN = (104.00699, 116.66877, 122.67892)
# Chosen among tenths by ten training drawings.
THRESHOLD = 0.5


class EdgeNetwork(nn.Module):
    """Edge probabilities (rows, 1, height, width) of pictures (rows, 3, height, width) in BGR."""

    def __init__(self, file: h5py.File) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.sides = nn.ModuleList()
        for block, layers in enumerate(LAYERS, 1):
            names = ["conv2d", *(f"conv2d_{place}" for place in range(1, layers))]
            convolutions = [convolution(file[f"block{block}/layers/{name}/vars"]) for name in names]
            self.blocks.append(nn.ModuleList(convolutions))
            self.sides.append(convolution(file[f"dsn{block}/vars"]))
        self.fuse = convolution(file["fuse/vars"])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values, sides = images, []
        for place, (block, side) in enumerate(zip(self.blocks, self.sides, strict=True)):
            if place:
                values = functional.max_pool2d(values, 2, ceil_mode=True)
            for layer in block:  # type: ignore[attr-defined]
                values = functional.relu(layer(values))
            sides.append(
                functional.interpolate(
                    side(values), images.shape[2:], mode="bilinear", align_corners=False
                )
            )
        return torch.sigmoid(self.fuse(torch.cat(sides, dim=1)))


def convolution(variables: h5py.Group) -> nn.Conv2d:
    """Return a convolution with the weights (height, width, in, out) and biases of a group."""
    weights, bias = np.array(variables["0"]), np.array(variables["1"])
    height, _, inputs, outputs = weights.shape
    layer = nn.Conv2d(inputs, outputs, height, padding=height // 2)
    layer.load_state_dict(
        {
            "weight": torch.from_numpy(weights.transpose(3, 2, 0, 1).copy()),
            "bias": torch.from_numpy(bias),
        }
    )
    return layer


def load_network() -> EdgeNetwork:
    """Return the network with its published weights."""
    with h5py.File(fetch("hed_vgg16_bsds500").path("hed_bsds500.weights.h5")) as file:
        network = EdgeNetwork(file)
    network.eval()
    return network


def edge_probabilities(network: EdgeNetwork, image: np.ndarray) -> np.ndarray:
    """Return the probability of an edge (height, width) in each pixel of a picture in RGB."""
    values = image[..., ::-1].astype(np.float32) - np.array(MEAN, dtype=np.float32)
    with torch.no_grad():
        found = network(torch.from_numpy(values.transpose(2, 0, 1)[None].copy()))
    return np.asarray(found[0, 0].numpy())


def thin(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return the ridges of the probabilities above a threshold, bool (height, width).

    The maps are some pixels thick. A pixel stays if it is a maximum along its row or column.
    """
    padded = np.pad(probabilities, 2, mode="edge")
    height, width = probabilities.shape
    center = probabilities
    ridge = np.zeros(probabilities.shape, dtype=bool)
    for across in (True, False):
        near = [
            padded[2 : 2 + height, 2 + step : 2 + step + width]
            if across
            else padded[2 + step : 2 + step + height, 2 : 2 + width]
            for step in (-2, -1, 1, 2)
        ]
        higher = np.array([center > each for each in near[:2]]).all(axis=0)
        ridge |= higher & np.array([center >= each for each in near[2:]]).all(axis=0)
    return np.asarray(ridge & (probabilities > threshold))
