"""Where the containers find what `prepare` makes: a volume for each who needs to know."""

from pathlib import Path

HERE = Path("/run/slipway")
# Each is a volume, so that nobody is shown a secret of somebody else.
KEYRING, DATABASE, REDIS = "keyring", "database", "redis"
PROMETHEUS, ALERTMANAGER, GRAFANA = "prometheus", "alertmanager", "grafana"
FOLDERS = (KEYRING, DATABASE, REDIS, PROMETHEUS, ALERTMANAGER, GRAFANA)
# Everybody in a container that mounts a folder may read what is in it, since each program runs as a
# user of its own; containers that do not mount it cannot.
READABLE = 0o444
# The key that Prometheus, and Alertmanager and the monitor, present to our services.
KEY = "key"
