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

from slipway.contract import publish
from slipway.kits.classes import ClassRecord
from slipway.kits.images import ImageRecord
from slipway.kits.photo_classifier import PhotoClassifier

LABELS = ("cat", "dog")
SIDE = 64


class PetPhoto(ImageRecord, size=(SIDE, SIDE), max_side=4096, capture=True):
    """A photograph of a cat or a dog, of any size; its middle square counts."""


class Pet(ClassRecord, labels=LABELS):
    """The more probable animal."""


class CatsDogs(PhotoClassifier):
    output = Pet

    def predict(self, model_input: list[PetPhoto]) -> list[Pet]:
        return Pet.from_probabilities(self.probabilities(model_input))


publish(CatsDogs())
