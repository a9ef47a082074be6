"""Labelled events from one partition of a topic, over Kafka's protocol."""

import logging
from collections.abc import Generator
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from .source import PAUSE_SECONDS, Entry

log = logging.getLogger(__name__)
ANSWER_SECONDS = 10.0
UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)


class Topic:
    """Places are offsets. They are assigned, never committed to the broker: a place kept apart from
    the weights is the older or the newer of the two when something dies in between.

    One partition, since an order is given within one only, and what is learnt depends on it.
    Brokers that are away, and a topic that nobody made yet, are waited for.
    """

    unit = "offset"

    def __init__(self, brokers: str, topic: str, partition: int = 0) -> None:
        self._brokers, self._topic, self._partition = brokers, topic, partition
        self.name = f"topic {topic}, partition {partition}"

    def entries(self, place: int) -> Generator[Entry | None, None, None]:
        """As of any source.

        Raises:
            ValueError: the partition ends before `place`.
            OSError: a broker refuses, and waiting does not mend it.
        """
        with closing(self._consumer()) as consumer:
            consumer.assign([self._at(place)])
            while True:
                message = consumer.poll(PAUSE_SECONDS)
                error = message.error() if message else None
                if message and error is None:
                    offset = message.offset()
                    assert offset is not None  # of a message that a broker sent
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
                    self._waits(error)
                else:
                    raise OSError(f"{self.name}: {error.str()}") from KafkaException(error)

    def _at(self, place: int) -> TopicPartition:
        return TopicPartition(self._topic, self._partition, place)

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._brokers,
                # It must have a name, and joins no group.
                "group.id": "electricity_online",
                "enable.auto.commit": False,
                # A place that is gone is told, and not taken for another.
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "enable.metrics.push": False,
                # It would tell of every attempt; what it tells as an error is told by `_waits`.
                "log_level": 2,
                "error_cb": self._waits,
            }
        )

    def _waits(self, error: KafkaError) -> None:
        log.warning("%s at %s is waited for: %s", self.name, self._brokers, error.str())

    def _first(self, consumer: Consumer, place: int) -> int:
        """The first offset that is there, when `place` is not; `place` while nobody answers."""
        try:
            known = consumer.get_watermark_offsets(self._at(place), timeout=ANSWER_SECONDS)
        except KafkaException as error:
            self._waits(error.args[0])
            return place
        assert known is not None  # without an answer in time it raises
        first, end = known
        if place > end:
            raise ValueError(
                f"{self.name} ends at offset {end}, before {place}, to which it was followed: "
                "it was made anew"
            )
        return max(first, place)
