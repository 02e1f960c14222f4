"""SQL that converts between columns of ``dossier_messages`` and ``facts``, the small fields of a message in one number."""

from __future__ import annotations

from typing import Final

from domain.dossier_columns import LEVEL_RANKS, RETURN_RANKS

#: The number of a dossier; the same as the default of the column (migration 0012).
DOSSIER: Final = (
    "bitShiftLeft(toUInt128(toUInt32OrZero(reverse("
    "substring(reverse(dossier_code), position(reverse(dossier_code), '-') + 1, 6)))), 96) "
    "+ bitShiftRight(reinterpretAsUInt128(sipHash128(dossier_code)), 32)"
)
#: ``facts`` of a message, as ``sinks.contract.dossiers.facts_of`` packs them. Both enums are numbered by their ranks.
FACTS: Final = (
    "toUInt16(status + channel * 16 + toInt8(service_level) * 64 + toInt8(returned_by) * 256 + legacy_level * 1024 "
    "+ toUInt8(named_by_code) * 8192)"
)


def _text(ranks: tuple[str, ...], shift: int) -> str:
    texts = ", ".join(f"'{text}'" for text in ranks)
    return f"[{texts}][bitAnd(bitShiftRight(facts, {shift}), 3) + 1]"


#: The fields that decide what a message counts as by itself, from ``facts``.
FIELDS_OF_FACTS: Final = (
    "toUInt8(bitAnd(facts, 15)) AS status, toUInt8(bitAnd(bitShiftRight(facts, 4), 3)) AS channel, "
    f"{_text(LEVEL_RANKS, 6)} AS service_level, {_text(RETURN_RANKS, 8)} AS returned_by"
)
