"""Read protected fields and defaults from the source of a `model.py`, without running it."""

import ast
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LIBRARY = "slipway"
UNKNOWN = object()
"""The value of anything that is not a literal."""


@dataclass(frozen=True)
class Declaration:
    """The declarations in a model's source."""

    protected: tuple[str, ...] = ()
    """Fields of the record by whose groups metrics are computed."""
    defaults: dict[str, Any] = field(default_factory=dict)
    """Defaults of the record's optional fields."""


def parse_declaration(code: str) -> Declaration:
    """Return what the class of the model and its record declare.

    The model is the class whose `predict` takes `list[SomeRecord]`, or whose `stream` takes one.

    Only literals count, and names in the module that are bound to literals: any other value would
    require the code to run. Fields that a record of the library declares count, too.

    Raises:
        SyntaxError: the text is not valid Python.
    """
    tree = ast.parse(code)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    constants = _constants(tree)
    for node in classes.values():
        record = _record_name(node)
        if record is None:
            continue
        found = _attribute(node, "protected", constants)
        protected = found if isinstance(found, tuple | list) else ()
        return Declaration(
            protected=tuple(str(each) for each in protected),
            defaults=_defaults(classes, record, constants, _library_imports(tree)),
        )
    return Declaration()


def _record_name(node: ast.ClassDef) -> str | None:
    """Return `Passenger` for `def predict(self, model_input: list[Passenger])`.

    Return it for `def stream(self, record: Passenger)`, too.
    """
    for step in node.body:
        if not isinstance(step, ast.FunctionDef) or step.name not in ("predict", "stream"):
            continue
        for argument in step.args.args:
            hint: ast.expr | None = argument.annotation
            if argument.arg == "model_input" and isinstance(hint, ast.Subscript):
                hint = hint.slice
            elif argument.arg != "record":
                continue
            return hint.id if isinstance(hint, ast.Name) else None
    return None


def _constants(tree: ast.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            value = _literal(node.value, found)
            if isinstance(target, ast.Name) and value is not UNKNOWN:
                found[target.id] = value
    return found


def _attribute(node: ast.ClassDef, name: str, constants: dict[str, Any]) -> Any:
    for step in node.body:
        targets = step.targets if isinstance(step, ast.Assign) else []
        if isinstance(step, ast.AnnAssign):
            targets = [step.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(step, ast.Assign | ast.AnnAssign)
            return UNKNOWN if step.value is None else _literal(step.value, constants)
    return UNKNOWN


def _library_imports(tree: ast.Module) -> dict[str, str]:
    """Return the module of each name that is imported from the library."""
    return {
        each.asname or each.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{LIBRARY}.")
        for each in node.names
        if node.module
    }


def _library_defaults(module: str, name: str) -> dict[str, Any]:
    """Return the defaults of a record of the library, which a project's record extends."""
    library = find_spec(LIBRARY)
    if library is None or not library.submodule_search_locations:
        return {}
    file = Path(library.submodule_search_locations[0], *module.split(".")[1:]).with_suffix(".py")
    if not file.is_file():
        return {}
    tree = ast.parse(file.read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return _defaults(classes, name, _constants(tree), _library_imports(tree))


def _defaults(
    classes: dict[str, ast.ClassDef],
    name: str,
    constants: dict[str, Any],
    imported: dict[str, str],
) -> dict[str, Any]:
    node = classes.get(name)
    if node is None:
        return {}
    found: dict[str, Any] = {}
    for base in node.bases:
        if not isinstance(base, ast.Name) or base.id == name:
            continue
        if base.id in classes:
            found |= _defaults(classes, base.id, constants, imported)
        elif base.id in imported:
            found |= _library_defaults(imported[base.id], base.id)
    for step in node.body:
        if not isinstance(step, ast.AnnAssign) or not isinstance(step.target, ast.Name):
            continue
        if ast.unparse(step.annotation).startswith("ClassVar"):  # no field of the record
            continue
        value = _default(step.value, constants)
        if value is not UNKNOWN:
            found[step.target.id] = value
    return found


def _default(value: ast.expr | None, constants: dict[str, Any]) -> Any:
    """Return the default in `= 3`, `= Field(3, ...)` or `= Field(default=3, ...)`."""
    if value is None:
        return UNKNOWN
    if not isinstance(value, ast.Call):
        return _literal(value, constants)
    if not (isinstance(value.func, ast.Name) and value.func.id == "Field"):
        return UNKNOWN
    for keyword in value.keywords:
        if keyword.arg == "default":
            return _literal(keyword.value, constants)
    return _literal(value.args[0], constants) if value.args else UNKNOWN


def _literal(value: ast.expr, constants: dict[str, Any]) -> Any:
    if isinstance(value, ast.Name):
        return constants.get(value.id, UNKNOWN)
    try:
        found = ast.literal_eval(value)
    except (ValueError, TypeError, RecursionError):
        return UNKNOWN
    return UNKNOWN if found is ... else found
