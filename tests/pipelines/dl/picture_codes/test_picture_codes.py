"""Codes of pictures: PCA against scikit-learn's, where the network begins, rates, and mixing."""

import numpy as np
import PIL.Image
import pytest
import torch
from sklearn.decomposition import PCA

from pipelines.dl.picture_codes import data, rates, report, train
from pipelines.dl.picture_codes.components import Components
from pipelines.dl.picture_codes.model import NUMBERS, PictureCodes
from pipelines.dl.picture_codes.model import SmallPicture as Small
from pipelines.dl.picture_codes.network import Autoencoder, FromCode, Recipe, WithCode
from slipway.deep import export_onnx
from slipway.media import decode_image, encode_png

GENERATOR = np.random.default_rng(6)


def smooth(count: int, side: int = 32) -> np.ndarray:
    """Return pictures (rows, side, side, 3) whose neighboring pixels are alike."""
    coarse = GENERATOR.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    cubic = PIL.Image.Resampling.BICUBIC
    return np.stack(
        [np.asarray(PIL.Image.fromarray(each).resize((side, side), cubic)) for each in coarse]
    )


PICTURES = smooth(260)
TENSORS = torch.from_numpy(PICTURES.transpose(0, 3, 1, 2) / np.float32(255))


@pytest.fixture(scope="module")
def components() -> Components:
    return Components.from_pictures(TENSORS.numpy(), NUMBERS)


@pytest.fixture(scope="module")
def model(components: Components, tmp_path_factory: pytest.TempPathFactory) -> PictureCodes:
    """Return a model whose network was not trained yet: the PCA."""
    weights = tmp_path_factory.mktemp("weights")
    network = Autoencoder(components, pca_start=True)
    export_onnx(WithCode(network), {"images": TENSORS[:2]}, ("pictures", "codes"), weights)
    codes = {"codes": torch.zeros(2, NUMBERS)}
    export_onnx(FromCode(network), codes, ("pictures",), weights, "decoder.onnx")
    model = PictureCodes()
    model.load(weights)
    return model


@pytest.mark.parametrize("values", [100, 400], ids=["more rows than values", "fewer rows"])
def test_components_reconstruct_as_those_of_scikit_learn(values: int) -> None:
    rows = TENSORS.numpy().reshape(len(TENSORS), -1)[:, :values].astype(np.float64)
    own, reference = Components.from_pictures(rows, 20), PCA(20, svd_solver="full").fit(rows)
    wanted = reference.inverse_transform(reference.transform(rows)).clip(0, 1)
    assert np.allclose(own.reconstructed(rows), wanted, atol=1e-8)
    variances = reference.explained_variance_.clip(1e-6)
    assert own.deviations**2 == pytest.approx(variances, rel=1e-6)


def test_few_pictures_leave_directions_empty() -> None:
    found = Components.from_pictures(TENSORS[:5].numpy(), 20)
    assert found.directions.shape == (20, 3072)
    assert not found.directions[5:].any()
    assert np.allclose(found.reconstructed(TENSORS[:5].numpy()), TENSORS[:5], atol=1e-6)


def test_an_untrained_network_with_that_start_is_the_pca(components: Components) -> None:
    network = Autoencoder(components, pca_start=True)
    made = WithCode(network)(TENSORS)[0].detach().numpy()
    assert np.allclose(made, components.reconstructed(TENSORS.numpy()), atol=1e-5)


def test_numbers_of_a_code_have_deviation_one(components: Components) -> None:
    codes = Autoencoder(components, pca_start=True).encode(TENSORS).detach().numpy()
    varied = components.deviations > 1e-3 * 1.01
    assert codes.std(axis=0, ddof=1)[varied] == pytest.approx(1, abs=1e-2)


def test_without_that_start_nothing_of_the_pca_is_used(components: Components) -> None:
    network = Autoencoder(components, pca_start=False)
    assert not network.analysis.any()
    assert not network.synthesis.any()


def test_noise_is_added_to_the_input_alone() -> None:
    torch.manual_seed(1)
    images, wanted = train.augment((TENSORS[:40], TENSORS[:40]), Recipe(noise=60.0))
    assert not torch.equal(images, wanted)
    kept = [bool((each == image).all()) for each, image in zip(wanted, TENSORS, strict=False)]
    turned = [
        bool((each.flip(2) == image).all()) for each, image in zip(wanted, TENSORS, strict=False)
    ]
    assert all(one != other for one, other in zip(kept, turned, strict=True))
    assert 5 < sum(turned) < 35
    images, wanted = train.augment((TENSORS[:40], TENSORS[:40]), Recipe())
    assert torch.equal(images, wanted)


def test_filters_bring_noisy_pictures_nearer() -> None:
    methods = data.Methods(PICTURES, 40, np.random.default_rng(1))
    _, label = methods.rows(PICTURES[0], np.random.default_rng(2))[1]
    assert min(label.gaussian_psnr, label.bilateral_psnr, label.pca_psnr) > label.input_psnr
    record, label = methods.rows(PICTURES[0], np.random.default_rng(2))[0]
    assert label.input_psnr == 100
    assert np.array_equal(decode_image(record.image), PICTURES[0])


def test_noise_depends_on_the_seed_alone() -> None:
    one, other = (data.noised(PICTURES[0], 40, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)


def test_rounded_codes_stay_within_half_a_step() -> None:
    codes = GENERATOR.normal(0, 1, (50, NUMBERS)).clip(-rates.RANGE, rates.RANGE)
    for bits in rates.BITS:
        rounded = rates.rounded_codes(codes, bits)
        assert len(np.unique(rounded)) <= 2**bits
        assert np.abs(rounded - codes).max() <= rates.RANGE / 2**bits + 1e-5


def test_a_jpeg_without_its_tables_is_smaller_by_what_a_reader_knows() -> None:
    whole, bare = (rates.jpeg_rates(PICTURES[:5], whole=each) for each in (True, False))
    tables = {round(a[0] - b[0]) for a, b in zip(whole, bare, strict=True)}
    # The quantization tables, the Huffman tables and the headers of baseline JPEG.
    assert tables == {609}
    assert [ratio for _, ratio in whole] == sorted(ratio for _, ratio in whole)


def test_mixing_goes_from_one_picture_to_the_other(model: PictureCodes) -> None:
    one, other = (encode_png(each) for each in PICTURES[:2])
    alone, second = model.predict([Small(image=one), Small(image=other)])
    mixed = model.predict([Small(image=one, other=other, mix=share) for share in (0, 0.5, 1)])
    assert mixed[0].code == pytest.approx(alone.code, abs=1e-4)
    assert mixed[2].code == pytest.approx(second.code, abs=1e-4)
    middle = (np.array(alone.code) + np.array(second.code)) / 2
    assert mixed[1].code == pytest.approx(middle, abs=1e-4)
    likeness = [
        np.abs(decode_image(each.picture) - PICTURES[1].astype(int)).mean() for each in mixed
    ]
    assert likeness == sorted(likeness, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1, 3), (100, 25, 3), (8, 300), (32, 32, 3)])
def test_every_picture_has_a_code(model: PictureCodes, shape: tuple[int, ...]) -> None:
    [found] = model.predict([Small(image=encode_png(np.zeros(shape, dtype=np.uint8)))])
    assert len(found.code) == NUMBERS
    assert np.isfinite(found.code).all()
    assert decode_image(found.picture).shape == (32, 32, 3)
    features = model.monitoring_features([Small(image=encode_png(PICTURES[0]))], [found])
    assert features["likeness"] == pytest.approx(found.psnr)


def test_a_file_that_is_no_picture_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="other"):
        Small(image=encode_png(PICTURES[0]), other=b"not a picture")


def test_scores_pair_each_picture_with_its_noisy_one(model: PictureCodes) -> None:
    methods = data.Methods(PICTURES, 40, np.random.default_rng(1))
    generator = np.random.default_rng(2)
    rows = [row for image in PICTURES[:6] for row in methods.rows(image, generator)]
    records, labels = map(list, zip(*rows, strict=True))
    found = report.score(predictions=model.predict(records), labels=labels)
    # The untrained network is the PCA, up to rounding.
    assert found["clean_gain_db"] == pytest.approx(0, abs=0.05)
    assert found["psnr"] == pytest.approx(found["baseline_psnr"], abs=0.05)
    assert found["psnr_low"] <= found["psnr"] <= found["psnr_high"]
    best = max(found["gaussian_noisy_psnr"], found["bilateral_noisy_psnr"])
    assert found["noisy_gain_db"] == pytest.approx(found["noisy_psnr"] - best)


def test_weights_of_an_untrained_network_survive_the_export(
    model: PictureCodes, components: Components
) -> None:
    codes = Autoencoder(components, pca_start=True).encode(TENSORS[:5]).detach().numpy()
    outputs = model.run({"images": TENSORS[:5].numpy()})
    # A code is brightness divided by a deviation, the least of which is 0.007: rounding is
    # bounded in brightness, and up to 150 times larger in the code.
    assert np.abs((outputs["codes"] - codes) * components.deviations).max() < 1e-5
    assert np.allclose(model.decode(outputs["codes"]), outputs["pictures"], atol=1e-5)
