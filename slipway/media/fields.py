"""The media fields of a record."""

from slipway.contract.record import Record
from slipway.media.marker import Media


def media_fields(record: type[Record]) -> dict[str, Media]:
    """Return the markers of the record's own media fields by field name, in order."""
    return {
        name: mark
        for name, field in record.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Media)
    }
