"""The peer of the dossier tables: plain SQL that counts the same dossiers exactly, whenever somebody asks.

It reads the same stored messages and applies every rule of docs/domain.md, "The rules of a dossier", in one statement. There is
nothing to keep up to date, and each answer reads every message.
"""

from __future__ import annotations

from typing import Final

#: The message of an event that counts: the latest, then the one that the code names, then the greatest as text.
_PREFERENCE: Final = (
    "(occurred_at, named_by_code, if(channel = 0, '', toString(channel)), toString(service_level), toString(returned_by), "
    "procedure_code, due_at, if(legacy_level = 0, '', toString(legacy_level)), agency)"
)
_CONTENT: Final = "(occurred_at, agency, channel, toString(service_level), toString(returned_by), named_by_code)"
#: Every figure of every agency and civil day, in the order of ``producers.portals.tier_truth.TALLIED``.
DAYS: Final = f"""
WITH
  known AS (
    SELECT dossier_code, event_id, status, argMax({_CONTENT}, {_PREFERENCE}) AS m
    FROM {{database}}.dossier_messages FINAL GROUP BY dossier_code, event_id, status
  ),
  ordered AS (
    -- 1 time, 2 status, 3 the code names another unit, 4 id, 5 agency, 6 channel, 7 level, 8 way of return
    SELECT arraySort(groupArray((m.1, status, NOT m.6, toString(event_id), m.2, m.3, m.4, m.5))) AS e
    FROM known GROUP BY dossier_code
  ),
  judged AS (
    SELECT e,
      arrayFirst(x -> x.6 != 0, e).6 = 2 AS online,
      arrayFirstIndex(x -> x.2 = 9, e) AS nine,
      arrayFirstIndex(
        (x, i) -> x.2 = 10 AND arrayLast(y -> y.2 != 10, arraySlice(e, 1, i - 1)).2 NOT IN (3, 7, 8), e, arrayEnumerate(e)
      ) AS ten,
      if(nine > 0, nine, ten) AS settled,
      settled > 0 AND online AND arrayLast(x -> x.7 != '', arraySlice(e, 1, settled)).7 = 'toan_trinh' AS full_any,
      full_any AND NOT arrayExists(x -> x.2 IN (9, 10) AND x.8 = 'counter', e) AS full,
      arrayLastIndex(x -> x.2 IN (1, 2, 4, 5, 6), e) AS taken_up,
      if(settled > 0, 0, arrayFirstIndex((x, i) -> x.2 IN (3, 7, 8) AND i > taken_up, e, arrayEnumerate(e))) AS given_back
    FROM ordered
  ),
  milestones AS (
    SELECT arrayJoin(arrayFilter(x -> x.2 > 0, [
      (2, toUInt32(1)), (3, toUInt32(online)), (4, settled), (5, if(full, settled, 0)), (6, if(full_any, settled, 0)),
      (7, arrayFirstIndex(x -> x.2 = 3, e)), (8, arrayFirstIndex(x -> x.2 = 7, e)), (9, arrayFirstIndex(x -> x.2 = 8, e)),
      (10, given_back)
    ])) AS milestone, milestone.1 AS name, e[milestone.2] AS event, event.5 AS agency, event.1 AS occurred_at
    FROM judged
  ),
  counted AS (
    SELECT agency, toDate(occurred_at, 'Asia/Ho_Chi_Minh') AS day, name, count() AS number FROM milestones GROUP BY ALL
    UNION ALL
    SELECT agency, toDate(occurred_at, 'Asia/Ho_Chi_Minh') AS day, 1 AS name, count() AS number FROM (
      SELECT DISTINCT agency, dossier_code, occurred_at, event_id, status FROM {{database}}.dossier_messages
    ) GROUP BY ALL
  )
SELECT agency, toString(day), {", ".join(f"sumIf(number, name = {name})" for name in range(1, 11))}
FROM counted GROUP BY agency, day
SETTINGS max_bytes_before_external_group_by = 4000000000
"""
