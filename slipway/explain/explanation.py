"""What an explanation says."""

from pydantic import Field

from slipway.contract.record import Record


class NotExplainable(Exception):
    """The model cannot be explained; the message says what it lacks."""


class Explanation(Record):
    """One number of one answer, divided among the fields of the record.

    `base` and all contributions add up to `value`.
    """

    explained: str = Field(description="The number in the answer that is divided")
    base: float = Field(description="Its mean over the answers to the reference rows")
    value: float = Field(description="What the model answered to this record")
    contributions: dict[str, float] = Field(
        description="What each field adds to the base, the largest first, in the answer's unit"
    )
    standard_error: dict[str, float] = Field(
        description="Of each contribution, from sampling orders of the fields; 0 where exact"
    )
    references: int = Field(ge=1, description="Reference rows compared with")
    evaluations: int = Field(ge=1, description="Rows the model answered for this explanation")
