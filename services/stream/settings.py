"""Settings of the stream; each has an environment variable."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, SecretStr

from services import settings
from slipway import home

Seconds = Annotated[float, Field(gt=0)]
# The topic names that Kafka accepts.
Topic = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,249}$")]
SASL = ("SASL_PLAINTEXT", "SASL_SSL")


class Settings(settings.Settings):
    """`SLIPWAY_STREAM_BROKERS=kafka:9092` sets `brokers`, and so on."""

    prefix = "SLIPWAY_STREAM_"

    brokers: Annotated[str, Field(pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$")] = (
        f"{home.LOOPBACK}:9092"
    )
    """`host:port` of some brokers, separated by commas; these name the others."""
    predictions_topic: Topic = "slipway.predictions"
    labels_topic: Topic = "slipway.labels"
    create_topics: bool = True
    """True to create missing topics. If not, they must exist or the brokers create them."""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Partitions of a created topic."""
    replication: Annotated[int, Field(ge=-1, le=100)] = -1
    """Replication factor of a created topic; -1 is the brokers' default."""

    since: AwareDatetime | None = None
    """Records before this time, like 2026-01-31T00:00:00Z, are never sent; by default all are."""
    batch_records: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """Records per batch: at most as many are sent twice after the process is killed."""
    batch_bytes: Annotated[int, Field(ge=10_000, le=2**27)] = 4 * 2**20
    """Bytes per batch. Memory use is twice this, plus the longest record."""
    message_bytes: Annotated[int, Field(ge=1000, le=1_000_000_000)] = 1_000_000
    """Longer records are counted, not sent; the brokers' `message.max.bytes` may be less."""
    compression: Literal["none", "gzip", "lz4", "zstd"] = "lz4"
    poll_seconds: Seconds = 0.5
    """Pause between scans while a log has nothing new."""
    delivery_seconds: Annotated[float, Field(ge=1, le=900)] = 30
    """Timeout of a batch that no broker confirms; it is then read and sent again."""
    retry_seconds: Seconds = 30
    """The longest retry delay while the brokers are unreachable; it starts at one second."""

    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ssl_ca: Path | None = None
    """CA of the brokers' certificates (PEM); by default those that the system trusts."""
    ssl_certificate: Path | None = None
    """Client certificate (PEM), if the brokers require one; needs `ssl_key`."""
    ssl_key: Path | None = None
    ssl_key_password: SecretStr = SecretStr("")

    @property
    def folder(self) -> Path:
        """The folder of the position file."""
        return home.home() / "stream"

    def connection(self) -> dict[str, str]:
        """Return the connection settings for librdkafka.

        Raises:
            ValueError: a setting that `security` needs is missing, or a file does not exist.
        """
        options = {"bootstrap.servers": self.brokers, "security.protocol": self.security}
        if self.security in SASL:
            if not self.sasl_username or not self.sasl_password.get_secret_value():
                names = " and ".join(map(self.variable, ("sasl_username", "sasl_password")))
                raise ValueError(f"{names} must be set if the security is {self.security}")
            options |= {
                "sasl.mechanisms": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        files = {
            "ssl.ca.location": ("ssl_ca", self.ssl_ca),
            "ssl.certificate.location": ("ssl_certificate", self.ssl_certificate),
            "ssl.key.location": ("ssl_key", self.ssl_key),
        }
        for name, (field, file) in files.items():
            if file is None:
                continue
            if not file.is_file():
                raise ValueError(f"{self.variable(field)}: {file} is no file")
            options[name] = str(file)
        if password := self.ssl_key_password.get_secret_value():
            options["ssl.key.password"] = password
        return options
