"""A model server over the small models, for clients of any language, and the Python client."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tests.services.fake_models import Server
from tests.small_models import SmallModels

PYTHON_CLIENT = ROOT / "clients" / "python"


@pytest.fixture(scope="session")
def slipway_client() -> Iterator[ModuleType]:
    """The package of the Python client, which is no part of Slipway's own environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PYTHON_CLIENT))
        import slipway_client

        yield slipway_client
    for name in [each for each in sys.modules if each.partition(".")[0] == "slipway_client"]:
        del sys.modules[name]


@pytest.fixture(scope="package")
def server(small_models: SmallModels) -> Iterator[Server]:
    with small_models.serving() as running:
        yield running
