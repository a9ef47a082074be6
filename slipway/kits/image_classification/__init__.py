"""The kit for pictures of one class each: records in `slipway.kits.images` and `.classes`."""
