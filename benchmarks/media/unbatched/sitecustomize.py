"""Python runs this file at its start: the model server takes one request a call.

The server has no switch for it. Its batches are those requests that wait when a call ends.
"""

from services.predict import request_batcher

request_batcher.BATCH_REQUESTS = 1
