"""What can be set of the features exporter, each by a variable of the environment."""

from services import settings


class Settings(settings.Settings):
    """`SLIPWAY_FEATURES_HOST=0.0.0.0` sets `host`, and so on."""

    prefix = "SLIPWAY_FEATURES_"
