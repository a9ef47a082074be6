"""Does this photograph show a cat or a dog?

Data: 1,001 photographs of cats and 1,001 of dogs, 96x96; every fourth one tests. One photograph
that is there twice was left out once.
Task: classification into two classes; both errors cost the same.
Model: a convolutional network of 64x64 pixels, trained from nothing but these photographs, as ONNX.
Augmentation, dropout, weight decay and early stopping keep it from learning them by heart.
Limits: it knows no third answer: of a horse it says cat or dog. It sees the middle square of a
photograph, so the animal should be there. Networks that were first trained on millions of
photographs err far less often.
"""

import numpy as np

from slipway.contract import OnnxModel, publish
from slipway.kits.centered import square_feed
from slipway.kits.classes import ClassRecord
from slipway.kits.images import ImageRecord
from slipway.media import decode_image

LABELS = ("cat", "dog")
SIDE = 64


class PetPhoto(ImageRecord, size=(SIDE, SIDE), max_side=4096, capture=True):
    """A photograph of a cat or a dog, of any size; its middle square counts."""


class Pet(ClassRecord, labels=LABELS):
    """The more probable animal."""


class CatsDogs(OnnxModel):
    def predict(self, model_input: list[PetPhoto]) -> list[Pet]:
        return Pet.from_probabilities(self.run(square_feed(model_input))["probabilities"])

    def activation_maps(self, record: PetPhoto) -> dict[str, np.ndarray]:
        """Return each label's map (rows, columns), the mean of which is the label's logit."""
        [maps] = self.run(square_feed([record]))["activation_maps"]
        return dict(zip(LABELS, maps, strict=True))

    def monitoring_features(
        self, records: list[PetPhoto], predictions: list[Pet]
    ) -> dict[str, np.ndarray]:
        """Return brightness, contrast, and width by height of each photograph, (rows,) each."""
        images = [decode_image(each.image) for each in records]
        return {
            "brightness": np.array([each.mean() / 255 for each in images]),
            "contrast": np.array([each.std() / 255 for each in images]),
            "proportions": np.array([each.shape[1] / each.shape[0] for each in images]),
        }


publish(CatsDogs())
