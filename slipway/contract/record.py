"""The base of what a client sends and what a model answers."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An immutable row with constraints in its types; unknown fields are refused.

    `bytes` fields travel as base64 in JSON, so an image is a plain field.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        val_json_bytes="base64",
        ser_json_bytes="base64",
        protected_namespaces=(),
        allow_inf_nan=False,
    )
