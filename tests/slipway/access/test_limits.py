"""Rate limits of API keys, shared by real processes."""

import json
import os
import secrets
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.access import limits
from slipway.access.keys import Key
from slipway.access.limits import Limiter
from slipway.access.scopes import Scope
from tests.manual_clock import ManualClock
from tests.slipway.python_script import start_python


def key_with(rate: float | None, burst: float | None = None, id: str = "00000000") -> Key:
    return Key(
        id=id,
        name="shop",
        hash="0" * 64,
        scopes=(Scope.PREDICT,),
        rate=rate,
        burst=burst,
        created=0,
    )


def test_a_key_without_a_rate_is_never_limited(tmp_path: Path) -> None:
    limiter, key = Limiter(tmp_path), key_with(None)
    assert [limiter.take(key, 1e9) for _ in range(100)] == [0.0] * 100


@pytest.mark.parametrize(("rate", "burst", "at_once"), [(4, 6, 6), (4, None, 4), (0.5, None, 1)])
def test_a_burst_then_the_rate(
    tmp_path: Path, rate: float, burst: float | None, at_once: int
) -> None:
    clock, key = ManualClock(1e6), key_with(rate, burst)
    limiter = Limiter(tmp_path, clock=clock)
    assert [limiter.take(key) for _ in range(at_once)] == [0.0] * at_once
    for _ in range(3):
        assert limiter.take(key) == pytest.approx(1 / rate)
        clock.now += 0.9 / rate
        assert limiter.take(key) == pytest.approx(0.1 / rate)
        clock.now += 0.1 / rate
        assert limiter.take(key) == 0.0
    clock.now += 1000
    assert [limiter.take(key) for _ in range(at_once)] == [0.0] * at_once
    assert limiter.take(key) > 0


def test_an_expensive_request_is_admitted_when_nothing_is_owed(tmp_path: Path) -> None:
    clock, key = ManualClock(1e6), key_with(10, 5)
    limiter = Limiter(tmp_path, clock=clock)
    assert limiter.take(key, 100) == 0.0
    assert limiter.take(key) == pytest.approx((100 + 1 - 5) / 10)
    assert limiter.take(key, 100) == pytest.approx(10)
    clock.now += 10
    assert limiter.take(key, 100) == 0.0
    with pytest.raises(ValueError, match="cost must be 0 or more"):
        limiter.take(key, -1)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> tuple[ManualClock, list[Limiter]]:
    clock, folder = ManualClock(1e6), tmp_path_factory.mktemp("limits")
    return clock, [Limiter(folder, clock=clock) for _ in range(3)]


@given(
    rate=st.floats(0.01, 1e6),
    burst=st.none() | st.floats(1, 1e4),
    steps=st.lists(
        st.tuples(st.floats(0, 3), st.integers(0, 2), st.integers(0, 20)), min_size=1, max_size=60
    ),
)
def test_no_more_than_the_rate_and_the_burst_in_any_window(
    workers: tuple[ManualClock, list[Limiter]],
    rate: float,
    burst: float | None,
    steps: list[tuple[float, int, int]],
) -> None:
    """Three workers in turn never race, so only rounding is added to the bound."""
    clock, limiters = workers
    key = key_with(rate, burst, id=secrets.token_hex(4))
    admitted: list[tuple[float, int]] = []
    for pause, worker, cost in steps:
        clock.now += pause / rate
        wait = limiters[worker].take(key, cost)
        if wait:
            before = clock.now
            if wait > 1e-6:
                clock.now += wait / 2
                assert limiters[worker].take(key, cost) == pytest.approx(wait / 2, abs=1e-7)
            clock.now = before + wait
            assert limiters[worker].take(key, cost) == 0.0
        admitted.append((clock.now, cost))
    at_once = max(burst or max(1.0, rate), *(cost for _, cost in admitted))
    for first, (start, _) in enumerate(admitted):
        total = 0
        for moment, cost in admitted[first:]:
            total += cost
            assert total <= rate * (moment - start + 1e-6) + at_once + 1e-6


TAKE_FOR_1500_MS = """
import json, sys, time
from pathlib import Path
from slipway.access.keys import Key
from slipway.access.limits import Limiter
limiter, key = Limiter(Path(sys.argv[1])), Key.model_validate_json(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
start = time.monotonic()
end, admitted = start + 1.5, 0
while time.monotonic() < end:
    admitted += limiter.take(key) == 0.0
print(json.dumps([admitted, start, time.monotonic()]))
"""


@pytest.mark.parametrize(("rate", "burst"), [(200, 20), (20_000, 500)])
def test_three_processes_share_one_limit(tmp_path: Path, rate: float, burst: float) -> None:
    workers = 3
    key = key_with(rate, burst)
    processes = [
        start_python(TAKE_FOR_1500_MS, tmp_path, key.model_dump_json()) for _ in range(workers)
    ]
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    results = [json.loads(each.communicate(timeout=600)[0]) for each in processes]
    admitted = sum(each[0] for each in results)
    seconds = max(each[2] for each in results) - min(each[1] for each in results)
    print(f"{admitted} admitted in {seconds:.3f} s; {rate * seconds + burst:.0f} are allowed")
    # The bound in Limiter, and one worker that is suspended for 10 ms between read and write.
    assert admitted <= rate * seconds + burst + (workers - 1) + rate * 0.01
    # Not guaranteed, but a limiter that admits far less would be useless.
    assert admitted > 0.8 * (rate * 1.5 + burst)
    assert all(each[0] for each in results)


TAKE_FOREVER = """
import sys, time
from pathlib import Path
from slipway.access.keys import Key
from slipway.access.limits import Limiter
limiter, key = Limiter(Path(sys.argv[1])), Key.model_validate_json(sys.argv[2])
while True:
    print("admitted" if limiter.take(key) == 0.0 else "limited", flush=True)
"""


def test_charges_of_a_killed_worker_remain(tmp_path: Path) -> None:
    limiter, key = Limiter(tmp_path), key_with(0.01, 10)
    assert limiter.take(key, 4) == 0.0
    process = start_python(TAKE_FOREVER, tmp_path, key.model_dump_json())
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(7)] == [*["admitted\n"] * 6, "limited\n"]
    process.kill()
    process.communicate()
    assert 90 < limiter.take(key) < 100
    successor = Limiter(tmp_path)
    assert successor._lane == 1  # of the killed process
    assert 90 < successor.take(key) < 100


def test_a_forked_process_gets_a_lane_of_its_own(tmp_path: Path) -> None:
    limiter, key = Limiter(tmp_path), key_with(0.01, 10)
    assert limiter.take(key) == 0.0
    child = os.fork()
    if not child:
        os._exit(10 * limiter._lane + (limiter.take(key) == 0.0))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11
    assert limiter._lane == 0
    assert [limiter.take(key) for _ in range(8)] == [0.0] * 8
    assert limiter.take(key) > 90


def test_more_processes_than_lanes_share_them(tmp_path: Path) -> None:
    key = key_with(0.01, 10)
    crowd = [Limiter(tmp_path) for _ in range(limits.LANES + 2)]
    assert len({each._lane for each in crowd}) == limits.LANES
    assert sum(each.take(key) == 0.0 for each in crowd) == 10


def test_colliding_keys_do_not_share_a_limit(tmp_path: Path) -> None:
    """With more keys at one place than slots in reach, the key that owes least loses its slot."""
    clock = ManualClock(1e6)
    one, other = Limiter(tmp_path, clock=clock), Limiter(tmp_path, clock=clock)
    rivals = [
        key_with(0.01, 2, id=f"{number * limits.SLOTS:08x}") for number in range(limits.REACH)
    ]
    for key in rivals:
        assert [one.take(key), other.take(key)] == [0.0, 0.0]
    for key in rivals:
        assert [one.take(key), other.take(key)] == pytest.approx([100, 100])
    clock.now += 250  # nobody owes anything
    for key in rivals[1:]:
        assert one.take(key, 2) == 0.0
    late = key_with(0.01, 2, id=f"{limits.REACH * limits.SLOTS:08x}")
    assert [one.take(late), other.take(late)] == [0.0, 0.0]  # in the slot of the first
    for key in [*rivals[1:], late]:
        assert one.take(key) == pytest.approx(100)
        assert other.take(key) == pytest.approx(100)
    assert other.take(rivals[0]) == 0.0  # back, in the slot of another


def test_a_limit_survives_its_process_but_not_a_boot(tmp_path: Path) -> None:
    key = key_with(0.001, 1)
    before_boot = Limiter(tmp_path, clock=ManualClock(time.monotonic() + 1e8))
    assert before_boot.take(key) == 0.0
    assert Limiter(tmp_path).take(key) > 1e8
    content = (tmp_path / "limits").read_bytes()
    own = limits._boot().encode()
    assert content.startswith(b"slipway limits 1 " + own)
    (tmp_path / "old").write_bytes(content.replace(own, b"0" * len(own), 1))
    os.replace(tmp_path / "old", tmp_path / "limits")
    after_boot = Limiter(tmp_path)
    assert after_boot.take(key) == 0.0
    assert 900 < after_boot.take(key) <= 1000


@pytest.mark.parametrize("content", [b"", b"hello", b"x" * limits.SIZE])
def test_a_file_that_does_not_fit_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "limits").write_bytes(content)
    limiter, key = Limiter(tmp_path), key_with(0.001, 1)
    assert limiter.take(key) == 0.0
    assert Limiter(tmp_path).take(key) > 900
    assert (tmp_path / "limits").stat().st_size == limits.SIZE
