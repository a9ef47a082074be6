"""Replace text between two markers of a page, `<!-- name -->` and `<!-- /name -->`."""

from pathlib import Path


def replace_between(file: Path, mark: str, text: str) -> None:
    """Replace what is between the markers called `mark` by `text`.

    Raises:
        ValueError: the file has no such markers, in this order.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, found, rest = file.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{file} has no place for the text: add {begin} and {end}")
    file.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
