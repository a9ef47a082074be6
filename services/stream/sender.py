"""Messages to the brokers, a batch at a time, until each is confirmed or given up."""

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


class Outcome(Enum):
    SENT = "sent"
    TOO_LARGE = "too large"
    TOGETHER = "too large together"
    """A broker refused it with others in one batch; alone it may pass."""
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in (Outcome.SENT, Outcome.TOO_LARGE)


class Unreachable(Exception):
    """No broker answers, or what is there does not let us do what must be done."""


class Sender:
    """A producer that is idempotent, so that its own tries again neither double nor reorder.

    After a batch that is not confirmed it is closed: a new producer does not know what became of
    the old one's messages, and whoever sends again may send what had arrived.

    Raises:
        ValueError: the settings do not tell how to reach the brokers.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._topics: dict[Kind, str] = {
            "predictions": settings.predictions_topic,
            "truths": settings.truths_topic,
        }
        self._connection: dict[str, Any] = {
            **settings.connection(),
            "client.id": "slipway-stream",
            # It would tell of every attempt; what it tells as an error is told once, by `reason`.
            "log_level": 2,
            # What brokers may ask clients to tell of themselves (KIP-714).
            "enable.metrics.push": False,
        }
        self._producer: Producer | None = None
        self.reason = ""
        """What last stood in the way, as librdkafka tells it."""

    def connect(self) -> None:
        """Reach a broker, with the topics in place; at once when that has been done.

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
                # As Java's clients do it, so that who joins by project finds it in one partition.
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
        """Ask a broker for the topics.

        Raises:
            Unreachable: with the reason.
        """
        self.connect()
        assert self._producer is not None
        self._producer.poll(0)
        self._probe(self._producer)

    def send(self, messages: Sequence[Message], stopping: threading.Event) -> list[Outcome]:
        """What became of each, when all is known or the process is to stop.

        Raises:
            Unreachable: with the reason; nothing was sent.
        """
        self.connect()
        told: list[Outcome | None] = [None] * len(messages)
        assert self._producer is not None
        for number, message in enumerate(messages):
            self._produce(self._producer, message, told, number)
        while None in told and not stopping.is_set():
            self._producer.poll(STEP_SECONDS)
        outcomes = [each or Outcome.FAILED for each in told]
        if all(each.is_final for each in outcomes):
            metrics.REACHABLE.set(1)
        else:
            self.close()
        return outcomes

    def close(self) -> None:
        """Give up what is not confirmed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.poll(0)

    def _produce(
        self, producer: Producer, message: Message, told: list[Outcome | None], number: int
    ) -> None:
        try:
            producer.produce(
                self._topics[message.kind],
                key=message.key,
                value=message.value,
                headers=message.headers,
                on_delivery=partial(self._note, told, number),
            )
        except KafkaException as error:
            # It is this message then: it was not put together with others yet.
            told[number] = Outcome.TOO_LARGE if _too_large(error.args[0]) else self._fault(error)
        except BufferError as error:
            # 100,000 messages or 1 GB: more than the settings let a batch hold.
            told[number] = self._fault(error)
        producer.poll(0)

    def _note(
        self, told: list[Outcome | None], number: int, error: KafkaError | None, _: object
    ) -> None:
        if error is None:
            told[number] = Outcome.SENT
        elif _too_large(error):
            told[number] = Outcome.TOO_LARGE if len(told) == 1 else Outcome.TOGETHER
            self.reason = error.str()
        else:
            told[number] = self._fault(KafkaException(error))

    def _fault(self, error: Exception) -> Outcome:
        self.reason = _said(error)
        return Outcome.FAILED

    def _probe(self, producer: Producer) -> None:
        try:
            there = producer.list_topics(timeout=CONNECT_SECONDS).topics
            missing = set(self._topics.values()) - there.keys()
            if missing and self.settings.create_topics:
                self._create(missing)
        except KafkaException as error:
            metrics.REACHABLE.set(0)
            self.reason = _said(error)
            producer.poll(0)
            raise Unreachable(f"{self.settings.brokers}: {self.reason}") from None
        metrics.REACHABLE.set(1)

    def _create(self, topics: set[str]) -> None:
        """Raises KafkaException: the brokers refuse."""
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
        """What librdkafka tells of the connection; it tries again by itself."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            metrics.REACHABLE.set(0)
        else:
            # Without how long it took, which differs each time.
            self.reason = error.str().partition(" (after ")[0]


def _too_large(error: KafkaError) -> bool:
    return error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def _said(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)
