"""Records with media as MLflow's typed models: logged, loaded and called."""

from pathlib import Path
from typing import Annotated

import mlflow
import numpy as np
import pytest
from mlflow.types.type_hints import _infer_schema_from_list_type_hint

from slipway.contract import Model, Record
from slipway.contract.pyfunc import as_pyfunc
from slipway.media import Blob, Box, Image, Mask, Point, State, Track, decode_image, encode_png
from tests.slipway.media.media_samples import noise, picture_file


class Smear(Record):
    """Every spelling of a media field, and prompts."""

    image: Annotated[bytes, Image()]
    others: Annotated[list[bytes], Image()] = []  # noqa: RUF012
    document: Annotated[bytes | None, Blob()] = None
    state: Annotated[bytes | None, State()] = None
    where: Point | None = None


class Cells(Record):
    """Every kind of result that is drawn over a picture."""

    inverted: Annotated[bytes, Image(formats=("PNG",))]
    boxes: list[Box]
    mask: Mask | None = None
    tracks: list[Track] = []  # noqa: RUF012


class Inverter(Model):
    def predict(self, model_input: list[Smear]) -> list[Cells]:
        pictures = [decode_image(each.image) for each in model_input]
        return [
            Cells(
                inverted=encode_png(255 - picture),
                boxes=[Box(x1=0, y1=0, x2=picture.shape[1], y2=picture.shape[0])],
                mask=Mask.from_array(picture[..., 0] > 128),
            )
            for picture in pictures
        ]


def test_the_signature_has_binary_fields() -> None:
    text = str(_infer_schema_from_list_type_hint(list[Smear]))
    assert "image: binary (required)" in text
    assert "others: Array(binary) (required)" in text
    assert "document: binary (optional)" in text
    assert "state: binary (optional)" in text
    assert "where: {x: double (required), y: double (required)} (optional)" in text
    assert "boxes: Array(" in str(_infer_schema_from_list_type_hint(list[Cells]))


def test_a_logged_model_takes_and_returns_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {name: tmp_path / name for name in ("weights", "about")}
    for folder in folders.values():
        folder.mkdir()
    mlflow.pyfunc.save_model(
        path=tmp_path / "model",
        python_model=as_pyfunc(Inverter()),
        artifacts={name: str(folder) for name, folder in folders.items()},
        pip_requirements=[],
    )
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    (result,) = loaded.predict([Smear(image=picture_file("PNG"), others=[picture_file("JPEG")])])
    assert np.array_equal(decode_image(result.inverted), 255 - noise())
    (same,) = loaded.predict([{"image": picture_file("PNG")}])
    assert same == result
