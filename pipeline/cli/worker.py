"""``portalpulse worker`` and ``portalpulse exporter``: the two long-running processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.logs import configure_logging
from pipeline.settings import load_settings
from pipeline.wiring.exporter import run_exporter
from pipeline.wiring.worker import run_worker

#: Where the page of the board is, beside the folder ``pipeline``.
_BOARD = ("dashboards", "board")
BoardFolder = Annotated[
    Path | None, typer.Option("--board", help="Folder of the board's page (index.html); without it the packaged one.")
]


def packaged_board() -> Path | None:
    """The folder of the board's page that is installed with the program; None when it is not."""
    folder = Path(__file__).parents[2].joinpath(*_BOARD)
    return folder if folder.is_dir() else None


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""

    @app.command(rich_help_panel="Processes")
    def worker(
        *,
        all_in_one: Annotated[
            bool, typer.Option("--all-in-one", help="Also serve the agencies' gauges, the report and the board in this process.")
        ] = False,
        create_topic: Annotated[bool, typer.Option("--create-topic", help="Create the topic when it is missing.")] = False,
        board: BoardFolder = None,
    ) -> None:
        """Read dossier events from Kafka and keep exact tallies in ClickHouse.

        Start as many as needed, up to one per partition; they share the consumer group. Settings come from PORTALPULSE_
        variables, see docs/settings.md. With an embedded ClickHouse (chdb:FOLDER) use --all-in-one, because the folder belongs
        to one process.

        Exit status: 0 stopped on request, 1 failed, 2 something to correct, 3 dead-letter limit reached: too many messages of
        a partition are invalid, 4 another process has its PORTALPULSE_KAFKA__INSTANCE_ID. The last line of the log says what
        happened and what to do.

        Example: PORTALPULSE_CLICKHOUSE__URL=http://default@127.0.0.1:8123/portalpulse portalpulse worker
        """
        settings = load_settings()
        configure_logging(settings.log)
        run_worker(settings, all_in_one=all_in_one, create_topic=create_topic, board=board or packaged_board())

    @app.command(rich_help_panel="Processes")
    def exporter(*, board: BoardFolder = None) -> None:
        """Serve the agencies' gauges (/metrics), the report API and the live board (/) from a ClickHouse server.

        Example: PORTALPULSE_CLICKHOUSE__URL=http://default@127.0.0.1:8123/portalpulse portalpulse exporter
        """
        settings = load_settings()
        configure_logging(settings.log)
        run_exporter(settings, board=board or packaged_board())
