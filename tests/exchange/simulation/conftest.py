"""The shared broker for the runs of this folder on a real Kafka."""

from tests.fixtures_kafka import kafka as kafka
