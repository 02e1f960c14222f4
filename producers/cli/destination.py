"""Where simulated messages go: a file, standard output or a topic."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from producers.cli.options import TargetOptions
    from producers.portals.produce import Send


@contextmanager
def destination(output: str | None, options: TargetOptions) -> Iterator[Send]:
    """A function that sends to the file ``output``, or to the topic that --bootstrap, the local stack or the settings name."""
    from producers.portals.produce import to_broker, to_file  # noqa: PLC0415 - Kafka, which --help need not load

    if output == "-":
        yield to_file(sys.stdout.buffer, name="standard output")
        return
    if output is not None:
        try:
            file = Path(output).open("wb")  # noqa: SIM115 - closed below; only opening is answered here
        except OSError as error:
            raise ConfigurationError(f"{output} cannot be written: {error.strerror}.", remedy="Choose another file.") from error
        try:
            yield to_file(file, name=output)
        finally:
            # Everything was flushed, or the error of a full disk is raised already.
            with suppress(OSError):
                file.close()
        return
    from producers.sending.worker_processes import Broker  # noqa: PLC0415 - Kafka, which --help need not load

    target = options.resolve()
    options.create_missing_topic(target)
    yield to_broker(Broker(target.bootstrap, target.topic, target.security, target.portals))
