"""Replace text between two markers of a page, `<!-- name -->` and `<!-- /name -->`."""

from pathlib import Path


def replace_between(file: Path, mark: str, text: str) -> None:
    """Replace what is between the markers called `mark` by `text`.

    Raises:
        ValueError: the file has no such markers.
    """
    begin, page = f"<!-- {mark} -->", file.read_text()
    start, end = page.index(begin), page.index(f"<!-- /{mark} -->")
    file.write_text(f"{page[:start]}{begin}\n\n{text}\n\n{page[end:]}")
