"""The paths at which containers find what `prepare` writes: one volume for each set of readers."""

from pathlib import Path

HERE = Path("/run/slipway")
# Each is a volume, so that no container sees another one's secret.
KEYRING, DATABASE, REDIS = "keyring", "database", "redis"
PROMETHEUS, ALERTMANAGER, GRAFANA = "prometheus", "alertmanager", "grafana"
SIGNING, REGISTRY, REGISTRY_READ = "signing", "registry", "registry-read"
FOLDERS = (
    *(KEYRING, DATABASE, REDIS, PROMETHEUS, ALERTMANAGER, GRAFANA, SIGNING),
    *(REGISTRY, REGISTRY_READ),
)
# World-readable inside a container that mounts the folder, since each program runs as a user of its
# own; containers that do not mount it cannot read it.
READABLE = 0o444
# The key that Prometheus, Alertmanager and the services send to our services.
KEY = "key"
# The private key that signs registered versions, in `SIGNING`.
SIGNING_KEY = "signing-key"
