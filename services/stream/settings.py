"""What can be set of the stream, each by a variable of the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, SecretStr

from services import settings
from slipway import home

Seconds = Annotated[float, Field(gt=0)]
# What Kafka takes for the name of a topic.
Topic = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,249}$")]
SASL = ("SASL_PLAINTEXT", "SASL_SSL")


class Settings(settings.Settings):
    """`SLIPWAY_STREAM_BROKERS=kafka:9092` sets `brokers`, and so on."""

    prefix = "SLIPWAY_STREAM_"

    brokers: Annotated[str, Field(pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$")] = (
        f"{home.LOOPBACK}:9092"
    )
    """`host:port` of some, with commas between them; they name the others."""
    predictions_topic: Topic = "slipway.predictions"
    truths_topic: Topic = "slipway.truths"
    create_topics: bool = True
    """Those that are missing. Without it they must be there, or the brokers create them."""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Of a topic that is created."""
    replication: Annotated[int, Field(ge=-1, le=100)] = -1
    """Of a topic that is created; -1 is the brokers' default."""

    since: AwareDatetime | None = None
    """What is older, like 2026-01-31T00:00:00Z, is never sent. Else from the oldest record kept."""
    batch_records: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """Sent again at most, when the process is killed."""
    batch_bytes: Annotated[int, Field(ge=10_000, le=2**27)] = 4 * 2**20
    """Together with the longest record what a batch takes of memory, twice."""
    message_bytes: Annotated[int, Field(ge=1000, le=1_000_000_000)] = 1_000_000
    """A longer record is not sent, but counted; the brokers' `message.max.bytes` may be less."""
    compression: Literal["none", "gzip", "lz4", "zstd"] = "lz4"
    poll_seconds: Seconds = 0.5
    """Between two looks at a log that had nothing new."""
    delivery_seconds: Annotated[float, Field(ge=1, le=900)] = 30
    """Until a batch that no broker confirms is given up, and read and sent again."""
    retry_seconds: Seconds = 30
    """The longest wait for brokers that are away, from one second up."""

    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ssl_ca: Path | None = None
    """Of the brokers' certificates, as PEM; else those that the system trusts."""
    ssl_certificate: Path | None = None
    """Ours, as PEM, where brokers want one; with `ssl_key`."""
    ssl_key: Path | None = None
    ssl_key_password: SecretStr = SecretStr("")

    @property
    def folder(self) -> Path:
        """How far was sent."""
        return home.home() / "stream"

    def connection(self) -> dict[str, str]:
        """How the brokers are reached, in librdkafka's words.

        Raises:
            ValueError: what the way of securing it needs is not set, or no file.
        """
        told = {"bootstrap.servers": self.brokers, "security.protocol": self.security}
        if self.security in SASL:
            if not self.sasl_username or not self.sasl_password.get_secret_value():
                names = " and ".join(map(self.variable, ("sasl_username", "sasl_password")))
                raise ValueError(f"{names} must be set where the security is {self.security}")
            told |= {
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
            told[name] = str(file)
        if password := self.ssl_key_password.get_secret_value():
            told["ssl.key.password"] = password
        return told
