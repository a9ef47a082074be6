"""A commit to compare with, and how the working tree differs from it."""

from dataclasses import dataclass
from pathlib import Path

from services.trainer.worktree import WorktreeFault, git


class UnknownRevision(Exception):
    """Git finds no such commit in this clone."""


@dataclass(frozen=True)
class GitRevision:
    """A commit of the repository in `root`."""

    root: Path
    commit: str

    @classmethod
    def resolve(cls, root: Path, name: str) -> "GitRevision":
        """Return the commit that a branch, a tag or the beginning of a hash names.

        Raises:
            UnknownRevision: there is none, for example in a shallow clone.
        """
        try:
            wanted = f"{name}^{{commit}}"
            found = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
        except WorktreeFault as fault:
            raise UnknownRevision(
                f"since: git finds no commit {name!r}; fetch it with its history"
            ) from fault
        return cls(root, found.strip())

    def changed(self) -> list[str]:
        """Return the files that were changed, deleted or added in the working tree, sorted."""
        differs = git(self.root, "diff", "--name-only", "--no-renames", "-z", self.commit, "--")
        new = git(self.root, "ls-files", "--others", "--exclude-standard", "-z")
        return sorted({name for name in (differs + new).split("\0") if name})

    def text(self, place: str) -> str | None:
        """Return the file's text at the commit; None if it did not exist."""
        if not git(self.root, "ls-tree", "--name-only", self.commit, "--", place).strip():
            return None
        return git(self.root, "show", f"{self.commit}:{place}")
