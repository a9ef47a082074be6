"""The benchmark of pictures and streams: its tables, and the requests that it sends."""

import base64
import json
from email import message_from_bytes
from email.policy import HTTP

import numpy as np

from benchmarks.media.encodings import requests
from benchmarks.media.results import README, MediaResults, Picture, tables
from benchmarks.media.sizes import SIDE
from benchmarks.media.subject import MediaSubject, jpeg
from infra.load.generator import Figures
from slipway.contract.shipped import Shipped
from slipway.media import decode_image


def results(**found: object) -> MediaResults:
    machine = {"cpu": "any", "cores": 2, "python": "3.11", "load_before": 0.1}
    return MediaResults(machine=machine, rounds=3, seconds=1, connections=16, **found)


def rounds(*rates: float) -> list[Picture]:
    """Return rounds with as many requests a second."""
    figures = {"p50": 1.0, "p99": 2.0, "p999": 3.0, "max": 4.0, "busy": None, "late": 0.0}
    return [
        Picture(load=Figures(per_second=rate, errors={}, **figures), cpu_ms=1.5) for rate in rates
    ]


def test_a_ratio_is_the_median_of_the_rounds_and_not_of_medians():
    # The machine was busy in the second round, and both were slow.
    found = {"Other": rounds(100, 10, 80), "Slipway": rounds(200, 35, 160)}
    table = tables(results(with_batches=found))
    assert "| Other | on | 80 (10 to 100) | 2.00x | 1.00 (1.00 to 1.00) |" in table


def test_a_server_that_did_not_run_is_named_with_the_reason():
    table = tables(results(with_batches={"Slipway": rounds(1)}, faults=["Other: no module", "x"]))
    assert table.endswith("- not run: Other: no module\n- not run: x")
    assert "| Slipway | on | 1 (1 to 1) | 1.00x |" in table


def test_results_are_comparable_only_if_each_server_ran_in_every_round():
    both = {"with_batches": {"Slipway": rounds(1, 2, 3)}, "without_batches": {}}
    assert not results(**both).comparable()
    both["without_batches"] = {"Slipway": rounds(1, 2, 3)}
    assert results(**both).comparable()
    both["with_batches"]["Other"] = rounds(1, 2)
    assert not results(**both).comparable()


def test_the_three_encodings_hold_the_same_picture():
    subject = MediaSubject(Shipped(README), Shipped(README), [jpeg(0), jpeg(1)])
    assert decode_image(jpeg(0)).shape == (SIDE, SIDE, 3)
    assert not np.array_equal(decode_image(jpeg(0)), decode_image(jpeg(1)))
    sent = requests(subject, 1)
    for number, picture in enumerate(subject.jpegs):
        as_json, form, raw = (each[number] for each in sent.values())
        bodies = {}
        for name, request in (("json", as_json), ("form", form), ("raw", raw)):
            head, _, body = request.partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}".encode() in head
            bodies[name] = body
        assert base64.b64decode(json.loads(bodies["json"])["image"]) == picture
        assert bodies["raw"] == picture
        parsed = message_from_bytes(form.partition(b"\r\n")[2], policy=HTTP)
        [part] = parsed.iter_parts()
        assert part.get_payload(decode=True) == picture
        assert part.get_param("name", header="content-disposition") == "image"
