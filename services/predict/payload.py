"""Writes a prediction as the JSON that callers get, whichever way it reaches them."""

from services.predict.predictor import Prediction


def json_payload(prediction: Prediction) -> bytes:
    """Return the prediction as a JSON object with its id, model, version and variant."""
    model, response, identifier = prediction
    return b'{"id":"%b%b%b}' % (identifier.encode(), model.payload_middle, response.predictions)
