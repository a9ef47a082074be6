"""Sends batches of messages to the brokers and waits for their confirmation."""

import logging
import threading
from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services.stream import metrics
from services.stream.messages import Kind, Message
from services.stream.settings import Settings

log = logging.getLogger("slipway.stream")
CONNECT_SECONDS = 5.0
STEP_SECONDS = 0.1


class SendOutcome(Enum):
    """The outcome of sending a message."""

    SENT = "sent"
    TOO_LARGE = "too large"
    BATCH_TOO_LARGE = "batch too large"
    """A broker rejected the batch that contained it; sent alone it may pass."""
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in (SendOutcome.SENT, SendOutcome.TOO_LARGE)


class BrokersUnreachable(Exception):
    """Raised when no broker responds, or the brokers do not permit what is needed."""


class Sender:
    """An idempotent producer: its own retries neither duplicate nor reorder messages.

    After an unconfirmed batch the producer is closed. A new one does not know which messages of
    the old one arrived, so resending may duplicate them.

    Raises:
        ValueError: the settings for the connection are incomplete.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._topics: dict[Kind, str] = {
            "predictions": settings.predictions_topic,
            "labels": settings.labels_topic,
        }
        self._connection: dict[str, Any] = {
            **settings.connection(),
            "client.id": "slipway-stream",
            # librdkafka would log every attempt; its errors are reported once, through `reason`.
            "log_level": 2,
            # The client metrics that brokers can request (KIP-714).
            "enable.metrics.push": False,
        }
        self._producer: Producer | None = None
        self.reason = ""
        """The last error, as reported by librdkafka."""

    def connect(self) -> None:
        """Connect to a broker and ensure that the topics exist; do nothing if connected.

        Raises:
            Unreachable: with the reason.
        """
        if self._producer is not None:
            return
        producer = Producer(
            {
                **self._connection,
                "enable.idempotence": True,
                "acks": "all",
                # Java's default, so that consumers that join by project find it in one partition.
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "compression.type": self.settings.compression,
                "message.max.bytes": self.settings.message_bytes,
                "message.timeout.ms": int(self.settings.delivery_seconds * 1000),
                "error_cb": self._failed,
            }
        )
        self._probe(producer)
        self._producer = producer

    def probe(self) -> None:
        """Request the topics from a broker.

        Raises:
            Unreachable: with the reason.
        """
        self.connect()
        assert self._producer is not None
        self._producer.poll(0)
        self._probe(self._producer)

    def send(self, messages: Sequence[Message], stopping: threading.Event) -> list[SendOutcome]:
        """Send the messages; return their outcomes once all are known or `stopping` is set.

        Raises:
            Unreachable: with the reason; nothing was sent.
        """
        self.connect()
        pending: list[SendOutcome | None] = [None] * len(messages)
        assert self._producer is not None
        for number, message in enumerate(messages):
            self._produce(self._producer, message, pending, number)
        while None in pending and not stopping.is_set():
            self._producer.poll(STEP_SECONDS)
        outcomes = [each or SendOutcome.FAILED for each in pending]
        if all(each.is_final for each in outcomes):
            metrics.REACHABLE.set(1)
        else:
            self.close()
        return outcomes

    def close(self) -> None:
        """Close the producer and discard unconfirmed messages."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.poll(0)

    def _produce(
        self, producer: Producer, message: Message, outcomes: list[SendOutcome | None], number: int
    ) -> None:
        try:
            producer.produce(
                self._topics[message.kind],
                key=message.key,
                value=message.value,
                headers=message.headers,
                on_delivery=partial(self._note, outcomes, number),
            )
        except KafkaException as error:
            # This message is the cause: it is not in a batch yet.
            outcomes[number] = (
                SendOutcome.TOO_LARGE if _too_large(error.args[0]) else self._fault(error)
            )
        except BufferError as error:
            # librdkafka's queue holds 100,000 messages or 1 GB, more than a batch can.
            outcomes[number] = self._fault(error)
        producer.poll(0)

    def _note(
        self, outcomes: list[SendOutcome | None], number: int, error: KafkaError | None, _: object
    ) -> None:
        if error is None:
            outcomes[number] = SendOutcome.SENT
        elif _too_large(error):
            outcomes[number] = (
                SendOutcome.TOO_LARGE if len(outcomes) == 1 else SendOutcome.BATCH_TOO_LARGE
            )
            self.reason = error.str()
        else:
            outcomes[number] = self._fault(KafkaException(error))

    def _fault(self, error: Exception) -> SendOutcome:
        self.reason = _describe(error)
        return SendOutcome.FAILED

    def _probe(self, producer: Producer) -> None:
        try:
            existing = producer.list_topics(timeout=CONNECT_SECONDS).topics
            missing = set(self._topics.values()) - existing.keys()
            if missing and self.settings.create_topics:
                self._create(missing)
        except KafkaException as error:
            metrics.REACHABLE.set(0)
            self.reason = _describe(error)
            producer.poll(0)
            raise BrokersUnreachable(f"{self.settings.brokers}: {self.reason}") from None
        metrics.REACHABLE.set(1)

    def _create(self, topics: set[str]) -> None:
        """Create the topics.

        Raises:
            KafkaException: the brokers refuse.
        """
        new = [
            NewTopic(
                name,
                num_partitions=self.settings.partitions,
                replication_factor=self.settings.replication,
            )
            for name in sorted(topics)
        ]
        client = AdminClient(self._connection)
        for name, done in client.create_topics(new, request_timeout=CONNECT_SECONDS).items():
            try:
                done.result()
                log.info("topic %s created", name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def _failed(self, error: KafkaError) -> None:
        """Handle a connection error reported by librdkafka, which retries by itself."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            metrics.REACHABLE.set(0)
        else:
            # Without the duration, which differs each time.
            self.reason = error.str().partition(" (after ")[0]


def _too_large(error: KafkaError) -> bool:
    return error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def _describe(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)
