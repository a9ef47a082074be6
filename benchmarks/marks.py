"""Text between two marks of a page, `<!-- name -->` and `<!-- /name -->`."""

from pathlib import Path


def replace_between(file: Path, mark: str, text: str) -> None:
    """Write `text` between the marks called `mark` in place of what stands there.

    Raises:
        ValueError: the file has no such marks.
    """
    begin, page = f"<!-- {mark} -->", file.read_text()
    start, end = page.index(begin), page.index(f"<!-- /{mark} -->")
    file.write_text(f"{page[:start]}{begin}\n\n{text}\n\n{page[end:]}")
