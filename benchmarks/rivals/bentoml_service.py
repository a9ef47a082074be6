"""A BentoML service as in its documentation: a class, and methods with type hints."""

import bentoml

from benchmarks.model.model import Diagnosis, Tumour, diagnoses, features
from benchmarks.rivals.session import malignancy, open_session


@bentoml.service(name="cancer", workers=1, logging={"access": {"enabled": False}})
class Cancer:
    def __init__(self) -> None:
        self.session = open_session()

    @bentoml.api
    def predict(self, tumour: Tumour) -> Diagnosis:
        return diagnoses(malignancy(self.session, features([tumour])))[0]

    @bentoml.api
    def predict_many(self, tumours: list[Tumour]) -> list[Diagnosis]:
        return diagnoses(malignancy(self.session, features(tumours)))
