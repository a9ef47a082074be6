"""Run a version's code under module names of its own, so that versions share no modules."""

import itertools
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from slipway.contract.model import PRIVATE, Model, forget_modules, hand_to_mlflow, published_by

_numbers = itertools.count()

# The script that MLflow runs for a project whose model.py has siblings; the package lies beside it.
ENTRY = '''"""Publish the model of the package in `code`."""

from slipway.contract.modules import load_package_beside

load_package_beside(__file__, "{package}")
'''
_PACKAGE = re.compile(r'^load_package_beside\(__file__, "([a-z0-9_]+)"\)$', re.MULTILINE)


def package_of(entry: str) -> str | None:
    """Return the name of the package that the text of a `model.py` publishes, if it is an entry."""
    found = _PACKAGE.search(entry)
    return found[1] if found else None


def load_package_beside(entry: str, package: str) -> Model:
    """Load the package in the folder `code` beside the file `entry`, for MLflow."""
    model = load_package(Path(entry).parent / "code" / package)
    hand_to_mlflow(model)
    return model


def load_file(file: Path) -> Model:
    """Run a `model.py` and return the model that it publishes, without its weights.

    Raises:
        TypeError: the file publishes no model.
        Exception: whatever its code raises.
    """
    name = f"{PRIVATE}{next(_numbers)}"
    return _loaded(name, name, file)


def load_package(folder: Path) -> Model:
    """Run `folder/model.py`, whose relative imports find the files beside it.

    Raises:
        TypeError: the file publishes no model.
        Exception: whatever its code raises.
    """
    package = ModuleType(f"{PRIVATE}{next(_numbers)}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    return _loaded(package.__name__, f"{package.__name__}.model", folder / "model.py")


def _loaded(root: str, name: str, file: Path) -> Model:
    try:
        spec = _spec(name, file)
        module = module_from_spec(spec)
        # Type hints are looked up by module name.
        sys.modules[name] = module
        assert spec.loader is not None
        spec.loader.exec_module(module)
        return published_by(name)
    except BaseException:
        forget_modules(root)
        raise


class _VerifiedSource(SourceFileLoader):
    """Runs the source itself: no bytecode is read, which no digest covers, and none is written."""

    def path_stats(self, path: str) -> dict[str, int]:  # type: ignore[override]
        raise OSError("no bytecode is kept for a version's code")


class _Siblings(MetaPathFinder):
    """Finds the modules beside a version's `model.py`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not fullname.startswith(PRIVATE):
            return None
        file = Path(next(iter(path))) / f"{fullname.rpartition('.')[2]}.py"
        return _spec(fullname, file) if file.is_file() else None


def _spec(name: str, file: Path) -> ModuleSpec:
    spec = spec_from_file_location(name, file, loader=_VerifiedSource(name, str(file)))
    assert spec is not None
    return spec


sys.meta_path.insert(0, _Siblings())
