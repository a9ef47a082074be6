"""The monitor's pages."""

from services.monitor.check import WindowCheck
from services.monitor.pages import window_tables


def window(name: str, rows: int, *, sampled: int | None = None) -> WindowCheck:
    return WindowCheck(
        window=name,
        since=1_760_000_000.0,
        rows=rows,
        sampled=rows if sampled is None else sampled,
        unreadable=0,
        judged=True,
    )


def test_windows_with_the_same_rows_have_one_table() -> None:
    assert len(window_tables([window("time", 300), window("count", 300)])) == 1
    assert len(window_tables([window("time", 900), window("count", 300)])) == 2
    # As many rows, but each window draws its own sample of them.
    sampled = [window(name, 900, sampled=400) for name in ("time", "count")]
    assert len(window_tables(sampled)) == 2
    assert window_tables([]) == []
