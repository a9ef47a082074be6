"""Install the project's one Python environment from its hash locks, or resolve the locks.

    python3.11 infra/environment/environment.py install [--group serving] [--into .venv]
    python3.11 infra/environment/environment.py lock

Runs on a bare Python 3.11 from 3.11.0 on, with the standard library only; `python.sh` finds one.
uv installs the packages. It does not read pip's configuration, so pip's index, find-links,
certificate and proxy are passed on to it.
"""

import argparse
import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCKS = Path(__file__).resolve().parent / "locks"
# Each group includes the ones before it.
GROUPS = ("serving", "monitoring", "training", "torch", "methods", "development")
# Each adds its packages to serving; `media` has those of the four before it. Training and the
# groups after it include those of `media`, development all of them.
BRANCHES = ("vision", "audio", "language", "features", "media", "explain", "stream")
# Programs that run beside Slipway, each in a separate environment.
APART = ("federated", "litserve", "load", "mlserver", "openapi", "registry", "triton")
# Groups with torch, whose CPU build no lock can name.
WITH_TORCH = GROUPS[GROUPS.index("torch") :]
# The network errors of pip and uv.
UNREACHED = re.compile(
    "from versions: none|NewConnectionError|Connection refused|dns error|"
    "Name or service not known|Network is unreachable|timed out|"
    "Failed to fetch|error sending request",
    re.IGNORECASE,
)
GB = 2**30
# With the sources of PySpark in uv's cache, the development environment takes 6.1 GB.
FREE_SPACE, FREE_SPACE_OTHERS = 7 * GB, 2 * GB
# An environment whose packages uv has in its cache consists of links; only bytecode is new.
FREE_SPACE_LINKED = 1 * GB


class EnvironmentFault(Exception):
    """The environment cannot be installed; the message says why and what to do."""


def pyproject() -> dict[str, Any]:
    # Python 3.10 has no tomllib, and must get as far as `check_version`, which asks for 3.11.
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def torch_requirement() -> str:
    pins: list[str] = pyproject()["dependency-groups"]["torch"]
    return next(pin for pin in pins if pin.startswith("torch=="))


def run(*command: str | Path, env: dict[str, str], quiet: bool = False) -> None:
    result = subprocess.run(
        [str(word) for word in command], env=env, cwd=ROOT, text=True, capture_output=quiet
    )
    if result.returncode:
        output = (result.stdout + result.stderr) if quiet else ""
        if UNREACHED.search(output):
            output += "\nno network, or the package index pip is configured with cannot be reached"
        raise EnvironmentFault(f"{output}\n`{' '.join(map(str, command))}` failed".strip())


def pip_settings(pip: Path) -> dict[str, str]:
    """Return pip's effective settings by name; the environment outranks the files."""
    listing = subprocess.run([pip, "config", "list"], capture_output=True, text=True, check=True)
    settings: dict[str, str] = {}
    for line in listing.stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name not in settings or key.startswith(":env:"):
            settings[name] = str(ast.literal_eval(value))
    return settings


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    env = {
        **os.environ,
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        # As with pip, all indexes have equal rank. The hashes decide which files are accepted.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise every import compiles again
    passed_on = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
        "proxy": "ALL_PROXY",
    }
    for name, variable in passed_on.items():
        if settings.get(name) and variable not in os.environ:
            separator = "," if variable == "UV_FIND_LINKS" else " "
            env[variable] = separator.join(settings[name].split())
    return env


def check_version() -> None:
    if sys.version_info[:2] != (3, 11):
        found = ".".join(map(str, sys.version_info[:3]))
        raise EnvironmentFault(f"Python 3.11 is needed, this is {found}; try `make PYTHON=...`")


def check_venv() -> None:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            f"{sys.executable} has no venv module; on Debian: apt install python3.11-venv"
        ) from error


def check_disk(folder: Path, group: str) -> None:
    free, needed = shutil.disk_usage(folder).free, needed_space(folder, group)
    if free < needed:
        raise EnvironmentFault(
            f"disk nearly full: {free / GB:.1f} GB free below {folder}, "
            f"{needed / GB:.0f} GB are needed for the environment"
        )


def needed_space(folder: Path, group: str) -> int:
    """Return the free bytes that an installation below `folder` needs."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    packages = Path(os.environ.get("UV_CACHE_DIR") or Path(caches) / "uv") / "archive-v0"
    if packages.is_dir() and packages.stat().st_dev == folder.stat().st_dev:
        return FREE_SPACE_LINKED
    return FREE_SPACE if group == "development" else FREE_SPACE_OTHERS


def make_venv(venv: Path) -> tuple[Path, dict[str, str]]:
    """Create the virtual environment with uv in it; return uv's path and environment."""
    python, pip, uv = (venv / "bin" / name for name in ("python", "pip", "uv"))
    if not pip.exists():
        run(sys.executable, "-m", "venv", "--clear", venv, env=dict(os.environ))
    version = pyproject()["tool"]["slipway"]["uv"]
    has = subprocess.run([uv, "--version"], capture_output=True, text=True) if uv.exists() else None
    if has is None or has.returncode or f" {version}" not in has.stdout:
        run(
            *(python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            *("--no-input", "-r", LOCKS / "uv.txt"),
            env=dict(os.environ),
            quiet=True,
        )
    return uv, uv_environment(pip_settings(pip)) | {"VIRTUAL_ENV": str(venv)}


def install_torch(uv: Path, env: dict[str, str]) -> None:
    """Install the CPU build, from pip's find-links if it is there, otherwise from PyTorch's
    index."""
    requirement = torch_requirement()
    offline: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        requirement,
    ]
    if (
        not env.get("UV_FIND_LINKS")
        or subprocess.run(offline, env=env, capture_output=True).returncode
    ):
        try:
            run(
                *(uv, "pip", "install", "--quiet", "--no-deps", "--torch-backend", "cpu"),
                requirement,
                env=env,
                quiet=True,
            )
        except EnvironmentFault as fault:
            raise EnvironmentFault(
                f"{fault}\nno CPU build of {requirement} found: put its wheel in a folder and "
                "name that folder in pip's find-links (PIP_FIND_LINKS=FOLDER)"
            ) from fault


def refuse_gpu_builds(venv: Path) -> None:
    site = venv / "lib" / "python3.11" / "site-packages"
    found = sorted(path.name for path in site.glob("nvidia_*.dist-info"))
    # These two are fine: bindings of 50 kB, and Triton's server, which also runs on a CPU.
    wanted = ("nvidia_ml_py-", "nvidia_pytriton-")
    gpu = [name for name in found if not name.startswith(wanted)]
    version = site / "torch" / "version.py"
    cuda = version.exists() and re.search(r"^cuda.*= *'", version.read_text(), re.MULTILINE)
    if gpu or cuda:
        raise EnvironmentFault(f"a GPU build was installed: {', '.join(gpu) or 'torch'}")


def fingerprint(group: str) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for file in ("uv.txt", f"{group}.txt"):
        digest.update((LOCKS / file).read_bytes())
    return digest.hexdigest()


def install(group: str, venv: Path, *, compiled: bool = True) -> None:
    """Install a group, unless its lock is installed already.

    With `compiled`, all groups but `development` get their bytecode now; otherwise each file gets
    it when it is imported first.
    """
    stamp = venv / ".slipway"
    if stamp.exists() and stamp.read_text() == fingerprint(group):
        return
    check_venv()
    venv.parent.mkdir(parents=True, exist_ok=True)
    check_disk(venv.parent, group)
    print(f"environment: installing group {group} into {venv.name} (some minutes)", flush=True)
    uv, env = make_venv(venv)
    stamp.unlink(missing_ok=True)
    lock = LOCKS / f"{group}.txt"
    # A checkout imports a fifth of its 44,000 files, and Python caches their bytecode when
    # imported: 17 s instead of 72. An image is compiled completely, since its user may not write
    # there.
    ahead = ["--compile-bytecode"] if compiled and group != "development" else []
    run(
        *(uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
        *(*ahead, "-r"),
        lock,
        env=env,
        quiet=True,
    )
    if group in WITH_TORCH:
        install_torch(uv, env)
    if group == "development":
        editable: list[str | Path] = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
        ]
        run(*editable, "--editable", ROOT, env=env)
    refuse_gpu_builds(venv)
    stamp.write_text(fingerprint(group))
    print("environment: ready", flush=True)


def lock() -> None:
    """Resolve all groups together, then write one hash lock per group from that resolution."""
    LOCKS.mkdir(exist_ok=True)
    uv, env = make_venv(ROOT / ".venv")
    quiet = ["--quiet", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    common: list[str | Path] = [
        uv,
        "pip",
        "compile",
        *quiet,
        "--python-version",
        "3.11",
        "--generate-hashes",
    ]
    common += ["--no-annotate", "--no-emit-package", "torch"]
    if not env.get("UV_FIND_LINKS"):
        common += ["--torch-backend", "cpu"]
    together = LOCKS / "development.txt"
    torch = f"# {torch_requirement()}, the CPU build, is installed in a separate step.\n"
    for group in reversed(GROUPS):
        chosen = [
            word for name in GROUPS[1 : GROUPS.index(group) + 1] for word in ("--group", name)
        ]
        constraint = [] if group == "development" else ["--constraint", str(together)]
        target = LOCKS / f"{group}.txt"
        run(*common, *chosen, *constraint, "pyproject.toml", "-o", target, env=env)
        if group in WITH_TORCH:
            target.write_text(torch + target.read_text())
    for group in BRANCHES:
        own: list[str | Path] = ["--group", group, "--constraint", together]
        run(*common, *own, "pyproject.toml", "-o", LOCKS / f"{group}.txt", env=env)
    for group in APART:
        run(*common, "--group", group, "-o", LOCKS / f"{group}.txt", env=env)
    wanted = LOCKS / "uv.in"
    wanted.write_text(f"uv=={pyproject()['tool']['slipway']['uv']}\n")
    run(*common, wanted, "-o", LOCKS / "uv.txt", env=env)
    wanted.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser("install", help="install a group from its lock")
    installing.add_argument("--group", choices=(*GROUPS, *BRANCHES, *APART), default="development")
    installing.add_argument("--into", type=Path, default=ROOT / ".venv")
    installing.add_argument("--uncompiled", action="store_true", help="compile at first import")
    commands.add_parser("lock", help="resolve pyproject.toml into locks/")
    arguments = parser.parse_args()
    try:
        check_version()
        if arguments.command == "lock":
            lock()
        else:
            install(arguments.group, arguments.into.absolute(), compiled=not arguments.uncompiled)
    except EnvironmentFault as fault:
        print(f"environment: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
