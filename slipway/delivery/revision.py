"""A commit to compare with, and what the working tree holds that differs from it."""

from dataclasses import dataclass
from pathlib import Path

from slipway.retraining.worktree import WorktreeFault, git


class UnknownRevision(Exception):
    """Git knows no such commit here."""


@dataclass(frozen=True)
class Revision:
    """A commit of the repository in `root`."""

    root: Path
    commit: str

    @classmethod
    def of(cls, root: Path, name: str) -> "Revision":
        """The commit that a branch, a tag or the beginning of a hash names.

        Raises:
            UnknownRevision: there is none, as in a clone that is not deep enough.
        """
        try:
            wanted = f"{name}^{{commit}}"
            found = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
        except WorktreeFault as fault:
            raise UnknownRevision(
                f"since: git knows no commit {name!r} here; fetch it, with its history"
            ) from fault
        return cls(root, found.strip())

    def changed(self) -> list[str]:
        """Files that the working tree has otherwise, no more, or in addition; sorted."""
        differs = git(self.root, "diff", "--name-only", "--no-renames", "-z", self.commit, "--")
        new = git(self.root, "ls-files", "--others", "--exclude-standard", "-z")
        return sorted({name for name in (differs + new).split("\0") if name})

    def text(self, place: str) -> str | None:
        """The file as it was then, None if it was not there."""
        if not git(self.root, "ls-tree", "--name-only", self.commit, "--", place).strip():
            return None
        return git(self.root, "show", f"{self.commit}:{place}")
