"""Sends live events at a steady rate and logs how many were sent when: ``python -m bench.paced_sender`` (a child of latency).

A separate process, so that measuring and sending do not wait for each other.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time

from confluent_kafka import Producer

from domain.agencies import AgencyRegistry
from domain.periods import VIETNAM

#: Interval at which due events are sent (seconds).
TICK = 0.01


def main() -> None:
    """Send until the time is over; then print ``<clock> <sent so far>`` for every interval."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "linger.ms": 5,
            "compression.type": "lz4",
            "enable.idempotence": True,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    today = dt.datetime.now(VIETNAM).date()
    agencies = [agency.code for agency in AgencyRegistry.packaged().in_force(today)]
    start = time.monotonic()
    sent = 0
    notes = []
    salt = time.time_ns() & 0xFFFFFFFF
    while (now := time.monotonic()) - start < options.seconds:
        due = int((now - start) * options.rate)
        at = dt.datetime.now(VIETNAM).isoformat(timespec="milliseconds")
        for number in range(sent, due):
            agency = agencies[number * 7 % len(agencies)]
            dossier = f"000.00.{number % 90 + 10}.{agency}-{today:%y%m%d}-{number % 9999:04d}"
            value = (
                f'{{"event_id":"{salt:08x}-0000-4000-8000-{number:012x}","dossier_code":"{dossier}","agency_code":"{agency}",'
                f'"procedure_code":"1.{number % 300:06d}","status":{(1, 2, 4, 9, 10)[number % 5]},"channel":2,'
                f'"service_level":"toan_trinh","occurred_at":"{at}","portal_id":"portal-{agency}"}}'
            )
            producer.produce(options.topic, value.encode(), dossier.encode())
        sent = max(sent, due)
        producer.poll(0)
        notes.append(f"{now:.4f} {sent}")
        time.sleep(max(0.0, TICK - (time.monotonic() - now)))
    if producer.flush(60):
        sys.exit("some events were not acknowledged")
    sys.stdout.write("\n".join(notes) + "\n")


if __name__ == "__main__":
    main()
