"""The OpenAPI document: the server's own routes, and typed paths for every model served now."""

from services.predict.openapi.document import document
from services.predict.openapi.model_paths import DescribedModel

__all__ = ["DescribedModel", "document"]
