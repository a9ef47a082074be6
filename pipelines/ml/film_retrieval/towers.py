"""Two towers that map viewers and films to directions, and the ranker of the retrieved films.

A film's direction depends on its number and its content. In training the number is left out at
random (Volkovs, Yu and Poutanen, DropoutNet, 2017), so that content alone works for a new film.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Plan, deterministic, train

from .model import LIKED, Catalogue

# The chance to omit a training viewer's history or profile, so that the tower learns cold viewers.
NO_HISTORY, NO_PROFILE = 0.1, 0.1
# The number of liked films per viewer in a batch.
TARGETS = 4
FEATURES = 10


@dataclass(frozen=True)
class Rated:
    """Stars (viewers, films), 0 if unrated, and the viewers' attributes (viewers, 29)."""

    stars: np.ndarray
    about: np.ndarray

    def at(self, rows: np.ndarray) -> "Rated":
        return Rated(self.stars[rows], self.about[rows])

    def without(self, films: np.ndarray) -> "Rated":
        """Return the ratings without these films, given as a mask (films,)."""
        return Rated(np.where(films, 0, self.stars), self.about)


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate. `negatives` is `batch`, `mixed` or `all`; see `softmax`."""

    negatives: str = "mixed"
    logq: bool = True
    number: bool = True
    content: bool = True
    dropout: float = 0.2
    """The share of a film's training steps without its number."""
    width: int = 32
    temperature: float = 0.15


def network(inputs: int, hidden: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    """Return a network with one hidden layer; `bias` is that of the outputs."""
    layers = nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs, bias=bias)
    return nn.Sequential(*layers)


class FilmTower(nn.Module):
    """A tower from content (n, 26) to directions (n, width); `forward` ignores the number."""

    def __init__(self, films: int, features: int, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.numbers = nn.Embedding(films, recipe.width)
        nn.init.normal_(self.numbers.weight, 0, 0.1)
        self.content = network(features, 64, recipe.width)

    def forward(self, content: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.content(content), dim=1)

    def numbered(self, content: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Return the directions of all films, with the number where `known` (films,) is 1."""
        total = torch.zeros(1)
        if self.recipe.number:
            total = total + self.numbers.weight * known[:, None]
        if self.recipe.content:
            total = total + self.content(content)
        return functional.normalize(total, dim=1)


class ViewerTower(nn.Module):
    """A tower from mean directions of rated films (n, 2 width) and attributes (n, 30)."""

    def __init__(self, about: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, width)
        self.layers = network(2 * width + about, 128, width)

    def forward(self, pooled: torch.Tensor, about: torch.Tensor) -> torch.Tensor:
        total = self.linear(pooled) + self.layers(torch.cat([pooled, about], dim=1))
        return functional.normalize(total, dim=1)


class Towers(nn.Module):
    """Both towers, with the content of all films."""

    def __init__(self, content: np.ndarray, about: int, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.described = torch.from_numpy(content)
        self.films = FilmTower(len(content), content.shape[1], recipe)
        self.viewers = ViewerTower(about + 1, recipe.width)

    def tastes(self, stars: torch.Tensor, about: torch.Tensor, films: torch.Tensor) -> torch.Tensor:
        """Return the directions of viewers, given their stars (n, films).

        It is `viewer_features` and the tower, differentiable.
        """
        liked, rated = (stars >= LIKED).float(), (stars > 0).float()
        pooled = [
            each @ films / each.sum(dim=1, keepdim=True).clamp(min=1)
            for each in (liked, rated - liked)
        ]
        count = torch.log1p(rated.sum(dim=1, keepdim=True)) / 5
        directions: torch.Tensor = self.viewers(
            torch.cat(pooled, dim=1), torch.cat([about, count], dim=1)
        )
        return directions


def train_towers(
    rated: Rated, content: np.ndarray, recipe: Recipe, plan: Plan, seed: int
) -> Towers:
    """Train towers on all liked films, with a random part of a viewer's other films as history."""
    deterministic(seed)
    towers = Towers(content, rated.about.shape[1], recipe)
    rated = rated.at(np.flatnonzero((rated.stars >= LIKED).any(axis=1)))
    stars, about = torch.from_numpy(rated.stars), torch.from_numpy(rated.about)
    liked = (stars >= LIKED).float()
    # The probability of each film as a target, for the correction.
    shares = (liked / liked.sum(dim=1, keepdim=True)).mean(dim=0)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        targets = torch.multinomial(liked[rows], TARGETS, replacement=True)
        kept = torch.rand(len(rows), stars.shape[1]) < torch.rand(len(rows), 1)
        kept &= torch.rand(len(rows), 1) >= NO_HISTORY
        kept.scatter_(1, targets, value=False)
        profile = about[rows] * (torch.rand(len(rows), 1) >= NO_PROFILE)
        films = towers.films.numbered(
            towers.described, (torch.rand(stars.shape[1]) >= recipe.dropout).float()
        )
        tastes = towers.tastes(stars[rows] * kept, profile, films)
        return softmax(tastes, films, targets, liked[rows] > 0, shares, recipe)

    train(towers, len(stars), loss, plan, seed=seed)
    return towers


def softmax(
    tastes: torch.Tensor,
    films: torch.Tensor,
    targets: torch.Tensor,
    liked: torch.Tensor,
    shares: torch.Tensor,
    recipe: Recipe,
) -> torch.Tensor:
    """Return the mean loss of each target (viewers, 4) against films that its viewer did not like.

    The negatives are `all` films, or the targets of the `batch`, or those and as many films drawn
    evenly (`mixed`, Yang et al. 2020). Targets are mostly popular films, so the log of their
    probability is subtracted (Yi et al. 2019). Without the evenly drawn films, rarely liked films
    are never separated.
    """
    if recipe.negatives == "all":
        drawn, often = torch.arange(len(films)), torch.ones(len(films))
    else:
        drawn, often = targets.reshape(-1), shares
    if recipe.negatives == "mixed":
        drawn = torch.cat([drawn, torch.randint(len(films), (len(drawn),))])
        often = (shares + 1 / len(films)) / 2
    correction = often.log() if recipe.logq else torch.zeros(len(films))
    scores = tastes @ films.T / recipe.temperature - correction
    wanted = scores.gather(1, targets)
    others = scores[:, drawn].masked_fill(liked[:, drawn], -torch.inf)
    against = torch.logsumexp(others, dim=1, keepdim=True)
    return (torch.logaddexp(wanted, against) - wanted).mean()


def catalogue(towers: Towers, rated: Rated, hidden: np.ndarray | None = None) -> Catalogue:
    """Return all films given these ratings; unrated and `hidden` ones by content alone."""
    if hidden is not None:
        rated = rated.without(hidden)
    counts = (rated.stars > 0).sum(axis=0).astype(np.float32)
    known = (counts > 0).astype(np.float32)
    vectors = towers.films.numbered(towers.described, torch.from_numpy(known)).detach().numpy()
    surplus = (rated.stars - 3.5 * (rated.stars > 0)).sum(axis=0) / (counts + 5)
    described = towers.described.numpy()
    return Catalogue(vectors, described, np.log1p(counts), surplus.astype(np.float32), known)


class Ranker(nn.Module):
    """A ranker from `ranking_features` (n, 10) to scores (n, 1)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, 1)
        self.layers = network(FEATURES, hidden, 1, bias=False) if hidden else None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        score: torch.Tensor = self.linear(features)
        return score if self.layers is None else score + self.layers(features)


def train_ranker(
    features: np.ndarray, liked: np.ndarray, hidden: int, plan: Plan, seed: int
) -> Ranker:
    """Train a ranker on lists (lists, candidates, 10), given which were liked (lists, candidates).

    The loss is the softmax over the list (Cao et al., ListNet, 2007). With `hidden` 0 it is linear.
    """
    deterministic(seed)
    module = Ranker(hidden)
    useful = liked.any(axis=1)
    lists, wanted = torch.from_numpy(features[useful]), torch.from_numpy(liked[useful]).float()
    wanted = wanted / wanted.sum(dim=1, keepdim=True)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        scores = module(lists[rows]).squeeze(2)
        return -(wanted[rows] * scores.log_softmax(dim=1)).sum(dim=1).mean()

    train(module, len(lists), loss, plan, seed=seed)
    return module
