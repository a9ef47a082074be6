"""Which of ten animals and vehicles does this small photograph show?

Data: CIFAR-10, 60,000 photographs of 32x32 pixels in color, re-encoded as JPEG; the publisher's
10,000 test pictures. Training pictures that nearly equal a test picture were left out.
Task: classification into ten classes; every error costs the same.
Model: a convolutional network in the style of VGG with seven convolutions and batch normalization,
trained from nothing but these photographs, as ONNX.
Limits: it knows no eleventh answer: of a house, too, it names one of the ten. It sees the middle
square of a photograph, reduced to 32x32, in which the animal or vehicle should fill most of the
square. Cats and dogs are confused most often: see the report.
"""

from slipway.contract import publish
from slipway.kits.classes import ClassRecord
from slipway.kits.images import ImageRecord
from slipway.kits.photo_classifier import PhotoClassifier

# In the order of the publisher's label numbers.
LABELS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SIDE = 32


class SmallPhoto(ImageRecord, size=(SIDE, SIDE), max_side=4096, capture=True):
    """A photograph of an animal or a vehicle, of any size; its middle square counts."""


class Subject(ClassRecord, labels=LABELS):
    """The most probable of ten animals and vehicles."""


class Cifar10(PhotoClassifier):
    output = Subject

    def predict(self, model_input: list[SmallPhoto]) -> list[Subject]:
        return Subject.from_probabilities(self.probabilities(model_input))


publish(Cifar10())
