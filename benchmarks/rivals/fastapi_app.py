"""A FastAPI application over the session, with typed requests and responses and nothing else."""

from fastapi import FastAPI

from benchmarks.model.model import Diagnosis, Tumour, diagnoses, features
from benchmarks.rivals.session import malignancy, open_session

app = FastAPI()
session = open_session()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


# On the event loop: the call takes 10 microseconds, a thread hop more than that.
@app.post("/predict")
async def predict(tumour: Tumour) -> Diagnosis:
    return diagnoses(malignancy(session, features([tumour])))[0]


@app.post("/predict_many")
async def predict_many(tumours: list[Tumour]) -> list[Diagnosis]:
    return diagnoses(malignancy(session, features(tumours)))
