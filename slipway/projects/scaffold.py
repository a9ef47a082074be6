"""The skeleton that `slipway new` creates: a project that runs, ready to be rewritten."""

import re
from pathlib import Path

from slipway.dependencies.dvcfile import dvc_yaml
from slipway.project import NAME, Project

TRACKS = {"ml": "training", "dl": "torch", "cv": "torch"}
SKELETONS = Path(__file__).with_name("skeletons")
KITS = tuple(sorted(file.parent.name for file in SKELETONS.glob("*/params.yaml")))
DEFAULT = "tabular"
FILES = ("data.py", "model.py", "params.yaml", "report.py", "train.py")
README = "# {name}\n\n<!-- results -->\n<!-- /results -->\n"


def create(place: str, root: Path, kit: str = DEFAULT) -> Path:
    """Create a project skeleton at `place`, such as `ml/loan_default`; return its folder.

    Raises:
        ValueError: the place is not a track and a name, or there is no such kit.
        FileExistsError: a project of this name exists in some track.
    """
    track, _, name = place.partition("/")
    if track not in TRACKS or not re.match(NAME, name):
        raise ValueError(
            f"a project is one of {'/, '.join(TRACKS)}/ and a snake_case name, got {place!r}"
        )
    if kit not in KITS:
        raise ValueError(f"--kit must be one of {', '.join(KITS)}, got {kit!r}")
    taken = list(root.glob(f"pipelines/*/{name}"))
    if taken:
        raise FileExistsError(
            f"{taken[0].relative_to(root)} exists; names must be unique across tracks"
        )
    folder = root / "pipelines" / track / name
    folder.mkdir(parents=True)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    for file in FILES:
        text = (SKELETONS / kit / file).read_text()
        (folder / file).write_text(re.sub(r"\bSkeleton\b", class_name, text))
    (folder / "README.md").write_text(README.format(name=name))
    if kit == DEFAULT and TRACKS[track] != "training":
        params = folder / "params.yaml"
        text = params.read_text()
        params.write_text(text.replace("environment: training", f"environment: {TRACKS[track]}"))
    (folder / "dvc.yaml").write_text(dvc_yaml(Project(folder)))
    return folder
