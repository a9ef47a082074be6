"""The explanation of a prediction, as the model server returns it."""

from pydantic import Field

from slipway.contract.record import Record


class NotExplainable(Exception):
    """Raised when a model cannot be explained; the message names what is missing."""


class Explanation(Record):
    """One number of one prediction, divided among the fields of the record.

    `base` and all contributions add up to `value`.
    """

    explained: str = Field(description="The number in the prediction that is divided")
    base: float = Field(description="Its mean over the predictions for the reference rows")
    value: float = Field(description="Its value in the prediction for this record")
    contributions: dict[str, float] = Field(
        description="What each field adds to the base, the largest first, in the unit of the number"
    )
    standard_error: dict[str, float] = Field(
        description="By field, from sampling orders of the fields; 0 where exact"
    )
    references: int = Field(ge=1, description="Reference rows used for comparison")
    evaluations: int = Field(ge=1, description="Rows that the model predicted for this explanation")
