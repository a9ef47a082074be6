"""Settings of the features exporter; each has an environment variable."""

from services import settings


class Settings(settings.Settings):
    """`SLIPWAY_FEATURES_HOST=0.0.0.0` sets `host`, and so on."""

    prefix = "SLIPWAY_FEATURES_"
