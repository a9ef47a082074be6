"""The monitor's columns: declarations in `model.py`, layouts and features of values."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitor import derived
from services.monitor.declared import parse_declaration
from services.monitor.layout import Layout
from slipway.quality.values import category, number
from tests.services import monitored_project

REFERENCE = monitored_project.reference_rows(1000)
LAYOUT = Layout.learn(REFERENCE, defaults={"plan": "basic", "remark": "", "age": None})


BOX = {"x1": 0.0, "y1": 0.0, "x2": 10.0, "y2": 4.0, "label": "cat", "score": 0.5}
# A row of a model with media: facts are in their place.
SCENE = {
    "record": {
        "image": {"sha256": "a", "bytes": 900, "media_type": "image/png", "brightness": 0.25},
        "speech": {"sha256": "b", "bytes": 99, "media_type": "audio/wav", "seconds": 2.0},
        "clip": {"sha256": "c", "bytes": 99, "media_type": "video/mp4", "width": 4, "height": 3},
        "paper": {"sha256": "d", "bytes": 77, "media_type": "application/pdf"},
        "prompt": {"length": 70_000, "text": "7 words"},
    },
    "prediction": {
        "boxes": [BOX, {**BOX, "label": "dog", "x2": 20.0}, {**BOX, "score": 0.8}],
        "tracks": {"count": 300, "first": [{"id": 1, "box": BOX, "label": "cat"}]},
        "mask": {"height": 2, "width": 5, "counts": [4, 5, 1]},
        "words": ["a", "b"],
    },
    "features": {"sharpness": 3.5},
}


def picture(level: int, *, side: int = 8, alphabet: str = "url") -> str:
    from PIL import Image

    buffer = BytesIO()
    grey = np.full((side, side), level, dtype=np.uint8)
    grey[0] = 255 - level
    Image.fromarray(grey).save(buffer, "PNG")
    encode = base64.urlsafe_b64encode if alphabet == "url" else base64.b64encode
    return encode(buffer.getvalue()).decode()


class TestDeclaration:
    def test_protected_fields_and_defaults_are_read_from_the_source(self) -> None:
        declaration = parse_declaration(monitored_project.CODE)
        assert declaration.protected == ("country",)
        assert declaration.defaults == {"age": None, "plan": "basic", "remark": ""}

    def test_no_code_is_run(self, tmp_path: Path) -> None:
        trap = tmp_path / "ran"
        code = f"open({str(trap)!r}, 'w')\n{monitored_project.CODE}\nraise SystemExit\n"
        assert parse_declaration(code).protected == ("country",)
        assert not trap.exists()

    def test_the_record_of_a_stream_counts(self) -> None:
        code = (
            "class Prompt(Record):\n    text: str\n    letters: int = 4\n"
            "class Words(StreamingModel):\n    protected = ('text',)\n"
            "    def stream(self, record: Prompt) -> Iterator[Letter]:\n        yield\n"
        )
        declaration = parse_declaration(code)
        assert (declaration.protected, declaration.defaults) == (("text",), {"letters": 4})

    def test_a_default_that_must_be_computed_is_unknown(self) -> None:
        code = monitored_project.CODE.replace('USUAL = "basic"', "USUAL = str(len('basic'))")
        assert "plan" not in parse_declaration(code).defaults

    def test_fields_of_a_base_record_count(self) -> None:
        code = monitored_project.CODE.replace(
            "class Visitor(Record):",
            "class Guest(Record):\n    hat: int = 1\n\n\nclass Visitor(Guest):",
        )
        assert parse_declaration(code).defaults["hat"] == 1

    def test_a_file_without_a_model_declares_nothing(self) -> None:
        assert parse_declaration("x = 1\n").protected == ()

    def test_every_project_declares_what_its_class_says(self) -> None:
        from slipway.project import discover
        from tests.conftest import ROOT

        for project in discover(ROOT):
            model = project.model()
            declaration = parse_declaration((project.folder / "model.py").read_text())
            assert declaration.protected == model.protected, project.name
            fields = model.input_type().model_fields
            assert declaration.defaults.keys() <= fields.keys(), project.name
            plain = {
                name: field.default
                for name, field in fields.items()
                if not field.is_required() and field.default_factory is None
            }
            assert declaration.defaults == plain, project.name


class TestLayout:
    def test_kinds_come_from_the_reference(self) -> None:
        kinds = {field.label: field.kind for field in LAYOUT.fields}
        assert kinds == {
            "prediction.bought": "category",
            "prediction.probability": "number",
            "age": "number",
            "visits": "number",
            "country": "category",
            "plan": "category",
            "remark": "text",
        }
        assert {"remark:length", "remark:words", "remark:digits"} < LAYOUT.numeric.keys()

    def test_a_field_left_out_by_the_caller_has_its_default(self) -> None:
        sent = {"visits": 3, "country": "de"}
        values = LAYOUT.values(sent, monitored_project.predicted({"age": None}))
        assert values["plan"] == "basic"
        assert values["age"] is None
        assert LAYOUT.values({**sent, "plan": None}, {})["plan"] is None

    def test_pictures_are_compared_by_brightness_contrast_and_size(self) -> None:
        rows = [
            {"record": {"image": picture(level)}, "prediction": {"label": "x"}}
            for level in range(10, 50)
        ]
        layout = Layout.learn(rows)
        dark = layout.values({"image": picture(20)}, {"label": "x"})
        light = layout.values({"image": picture(200, side=16)}, {"label": "x"})
        assert list(dark) == [
            "prediction.label",
            "image:brightness",
            "image:contrast",
            "image:pixels",
        ]
        assert dark["image:brightness"] < light["image:brightness"]  # type: ignore[operator]
        assert (dark["image:pixels"], light["image:pixels"]) == (64.0, 256.0)

    @pytest.mark.parametrize("alphabet", ["url", "standard"])
    def test_both_alphabets_of_base64_are_read(self, alphabet: str) -> None:
        for level in range(256):
            assert derived.is_picture(picture(level, alphabet=alphabet))

    @pytest.mark.parametrize(
        "value", [None, 3, "x" * 100, "iVBORw0KGgo" * 20, picture(9)[:80] + "A" * 40, {}, []]
    )
    def test_damaged_pictures_are_missing_values(self, value: Any) -> None:
        assert set(derived.picture_features(value).values()) == {None}

    def test_lists_of_numbers_are_compared_and_objects_are_left_out(self) -> None:
        rows = [
            {"record": {"curve": [1.0, 2.0, i]}, "prediction": {"shares": {"a": 1.0}, "label": "x"}}
            for i in range(20)
        ]
        layout = Layout.learn(rows)
        assert layout.left_out == ("prediction.shares",)
        values = layout.values({"curve": [2, 4]}, {})
        assert values["curve:mean"] == 3
        assert values["curve:spread"] == 1
        assert values["curve:length"] == 2

    def test_facts_of_media_and_objects_are_compared(self) -> None:
        layout = Layout.learn([SCENE])
        assert layout.left_out == ()
        values = layout.values(SCENE["record"], SCENE["prediction"], SCENE["features"])
        expected = {
            "image:brightness": 0.25,
            "image:contrast": None,
            "speech:seconds": 2.0,
            "clip:pixels": 12.0,
            "paper:bytes": 77.0,
            "prompt:length": 70_000.0,
            "prediction.boxes:count": 3.0,
            "prediction.boxes:score": pytest.approx(0.6),
            "prediction.boxes:area": pytest.approx(160 / 3),
            "prediction.boxes:count of cat": 2.0,
            "prediction.boxes:count of dog": 1.0,
            "prediction.tracks:count": 300.0,
            "prediction.tracks:count of cat": 1.0,
            "prediction.mask:covered": 0.5,
            "prediction.words:count": 2.0,
            "feature.sharpness": 3.5,
        }
        assert {name: values[name] for name in expected} == expected
        nothing = layout.values({}, {"boxes": []}, {})
        assert (nothing["prediction.boxes:count"], nothing["prediction.boxes:score"]) == (0.0, None)

    def test_columns_are_limited_with_those_of_the_prediction_first(self) -> None:
        layout = Layout.learn(REFERENCE, limit=3)
        assert list(layout.numeric) == ["prediction.bought", "prediction.probability", "age"]
        assert "remark" in layout.left_out

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        )
    )
    @settings(max_examples=100, deadline=None)
    def test_no_json_value_is_an_error(self, value: Any) -> None:
        for layout in (LAYOUT, Layout.learn([SCENE])):
            names = [field.name for field in layout.fields]
            fields = dict.fromkeys(names, value)
            layout.table([layout.values(fields, fields, fields)])
        assert number(value) is None or isinstance(number(value), float)
        assert category(value) is None or isinstance(category(value), str)
