"""Labelled events from one partition of a topic, over Kafka's protocol."""

import logging
from collections.abc import Generator
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from .source import PAUSE_SECONDS, Entry

log = logging.getLogger(__name__)
RESPONSE_SECONDS = 10.0
UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)


class Topic:
    """One partition of a topic; positions are offsets.

    Offsets are assigned and never committed to the broker: a committed offset and the weights could
    differ after a crash. There is one partition, since only one partition has an order, on which
    learning depends. Brokers that are unreachable and a topic that does not exist yet are retried.
    """

    unit = "offset"

    def __init__(self, brokers: str, topic: str, partition: int = 0) -> None:
        self._brokers, self._topic, self._partition = brokers, topic, partition
        self.name = f"topic {topic}, partition {partition}"

    def entries(self, place: int) -> Generator[Entry | None, None, None]:
        """Yield the messages from offset `place` on, as every source does.

        Raises:
            ValueError: the partition ends before `place`.
            OSError: a broker returned an error that a retry cannot resolve.
        """
        with closing(self._consumer()) as consumer:
            consumer.assign([self._at(place)])
            while True:
                message = consumer.poll(PAUSE_SECONDS)
                error = message.error() if message else None
                if message and error is None:
                    offset = message.offset()
                    assert offset is not None  # a message from a broker has one
                    yield Entry(offset, offset + 1, message.value() or b"")
                    place = offset + 1
                elif error is None:
                    continue
                elif error.code() == KafkaError._PARTITION_EOF:
                    yield None
                elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                    first = self._first(consumer, place)
                    if first > place:
                        yield Entry(place, first, None)
                        place = first
                    consumer.assign([self._at(place)])
                elif error.code() in UNKNOWN:
                    self._log_retry(error)
                else:
                    raise OSError(f"{self.name}: {error.str()}") from KafkaException(error)

    def _at(self, place: int) -> TopicPartition:
        return TopicPartition(self._topic, self._partition, place)

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._brokers,
                # librdkafka requires a name, but the consumer joins no group.
                "group.id": "electricity_online",
                "enable.auto.commit": False,
                # Report an offset that is gone instead of continuing at another.
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "enable.metrics.push": False,
                # Do not log every attempt: `_log_retry` logs the errors.
                "log_level": 2,
                "error_cb": self._log_retry,
            }
        )

    def _log_retry(self, error: KafkaError) -> None:
        log.warning("%s: waiting for %s: %s", self.name, self._brokers, error.str())

    def _first(self, consumer: Consumer, place: int) -> int:
        """Return the first available offset, given that `place` is not; `place` on a timeout."""
        try:
            known = consumer.get_watermark_offsets(self._at(place), timeout=RESPONSE_SECONDS)
        except KafkaException as error:
            self._log_retry(error.args[0])
            return place
        assert known is not None  # it raises if there is no response in time
        first, end = known
        if place > end:
            raise ValueError(
                f"{self.name} ends at offset {end}, before {place}, the saved position: "
                "the topic was created again"
            )
        return max(first, place)
