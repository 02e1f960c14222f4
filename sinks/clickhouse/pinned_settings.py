"""Settings that are sent with every statement, so that no profile of the database user can shorten or change a figure.

A profile may make a query over a limit return a partial result, end answers after 20 rows, filter every table, or skip lines that
cannot be parsed. ClickHouse then answers without an error. Each setting of this kind is listed here with the only value under
which portalpulse's statements mean what they say. Limits are set to "none" and their overflow modes to "throw", so that a limit
which applies in spite of this (a constraint, another configuration file) is an error.

Settings with which a correct statement fails are pinned, too, because the error would blame the tables or a limit. Settings that
only make a statement slower, or end it at a limit, are left to the profile: memory, threads, timeouts, priorities, logs.
``tests/contract/test_hostile_profiles.py`` runs every line against the real server, and asks the server for settings that are in
neither list. A new setting needs one line here.
"""

from __future__ import annotations

from typing import Final

#: Settings that change the result of a read. They are sent with every request, including the driver's own requests.
READS: Final[dict[str, str]] = {
    # This comes first, because it changes the defaults of other settings.
    "compatibility": "",
    "dialect": "clickhouse",
    "additional_table_filters": "{}",
    "additional_result_filter": "",
    "final": "0",
    "limit": "0",
    "offset": "0",
    "max_rows_to_read": "0",
    "max_bytes_to_read": "0",
    "read_overflow_mode": "throw",
    "max_result_rows": "0",
    "max_result_bytes": "0",
    "result_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
    "extremes": "0",
    # An answer may not go through a file of the server; see ``strict_pool``.
    "http_wait_end_of_query": "0",
    # Limits, and what happens above them.
    "max_rows_to_read_leaf": "0",
    "max_bytes_to_read_leaf": "0",
    "read_overflow_mode_leaf": "throw",
    "timeout_overflow_mode_leaf": "throw",
    "max_rows_to_group_by": "0",
    "group_by_overflow_mode": "throw",
    "max_rows_to_sort": "0",
    "max_bytes_to_sort": "0",
    "sort_overflow_mode": "throw",
    "max_rows_in_distinct": "0",
    "max_bytes_in_distinct": "0",
    "distinct_overflow_mode": "throw",
    "max_rows_in_set": "0",
    "max_bytes_in_set": "0",
    "set_overflow_mode": "throw",
    "max_rows_in_join": "0",
    "max_bytes_in_join": "0",
    "join_overflow_mode": "throw",
    "max_rows_to_transfer": "0",
    "max_bytes_to_transfer": "0",
    "transfer_overflow_mode": "throw",
    "max_partitions_to_read": "-1",
    "partial_result_on_first_cancel": "0",
    "discard_query_data": "0",
    # A server of 26.9 and later answers at once that all is well, and runs the statement afterwards.
    "run_query_in_background": "0",
    # Clauses that a profile adds to every query.
    "page": "0",
    "select": "",
    "filter": "",
    "order": "",
    "sort": "",
    "implicit_table_at_top_level": "",
    "inject_random_order_for_select_without_order_by": "0",
    # Rows and replicas that are skipped, or answers that are outdated.
    "apply_deleted_mask": "1",
    "apply_patch_parts": "1",
    "ignore_cold_parts_seconds": "0",
    "use_query_cache": "0",
    "skip_unavailable_shards": "0",
    "max_skip_unavailable_shards_num": "0",
    "max_skip_unavailable_shards_ratio": "0",
    "distributed_group_by_no_merge": "0",
    "enable_parallel_replicas": "0",
    "automatic_parallel_replicas_mode": "0",
    "parallel_replicas_count": "0",
    "parallel_replica_offset": "0",
    "parallel_replicas_custom_key": "",
    "implicit_transaction": "0",
    # Conditions and indexes that are applied before rows of one key are replaced by the newest one.
    "optimize_move_to_prewhere_if_final": "0",
    "apply_prewhere_after_final": "0",
    "use_skip_indexes_if_final_exact_mode": "1",
    "optimize_using_constraints": "0",
    "optimize_trivial_approximate_count_query": "0",
    # Queries that are refused because they do not use an index.
    "force_primary_key": "0",
    "force_index_by_date": "0",
    "force_optimize_projection": "0",
    # Queries that are refused because no server shares their work.
    "make_distributed_plan": "0",
    # The meaning of the SQL, and what makes it an error.
    "enable_analyzer": "1",
    "analyzer_compatibility_join_using_top_level_identifier": "0",
    "analyzer_compatibility_prefer_alias_over_subcolumn": "0",
    "analyzer_compatibility_apply_final_to_all_joined_tables": "0",
    "enable_scopes_for_with_statement": "1",
    "enable_order_by_all": "1",
    "rewrite_in_to_join": "0",
    "join_default_strictness": "ALL",
    "prefer_column_name_to_alias": "0",
    "enable_global_with_statement": "1",
    "enable_positional_arguments": "1",
    "union_default_mode": "",
    "transform_null_in": "0",
    "join_use_nulls": "0",
    "group_by_use_nulls": "0",
    "cast_keep_nullable": "0",
    "aggregate_functions_null_for_empty": "0",
    "empty_result_for_aggregation_by_empty_set": "0",
    "empty_result_for_aggregation_by_constant_keys_on_empty_set": "1",
    "least_greatest_legacy_null_behavior": "0",
    "enable_named_columns_in_function_tuple": "0",
    "count_distinct_implementation": "uniqExact",
    # Dates and times.
    "session_timezone": "",
    "date_time_overflow_behavior": "ignore",
    "enable_extended_results_for_datetime_functions": "0",
    "formatdatetime_format_without_leading_zeros": "0",
    "formatdatetime_f_prints_single_zero": "0",
    "formatdatetime_parsedatetime_m_is_month_name": "1",
    # The format of an answer; the first two override what the statement says (26.9 and later).
    "format": "",
    "output_format": "",
    "framing_output_format": "None",
    "http_response_headers": "{}",  # they take the place of those by which an empty answer is told from a lost one
    "date_time_output_format": "simple",
    "low_cardinality_allow_in_native_format": "1",
    "output_format_native_encode_types_in_binary_format": "0",
    "output_format_arrow_unsupported_types_as_binary": "1",
    "output_format_arrow_fixed_string_as_fixed_byte_array": "1",
    "output_format_arrow_string_as_string": "1",
    "output_format_arrow_date_as_uint16": "0",
    "output_format_arrow_uuid_as_fixed_byte_array": "0",
    "output_format_json_array_of_rows": "0",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_validate_utf8": "0",
    "output_format_schema": "",
    # If enabled, an interrupted export would end like a complete one, with the error as one more line.
    "http_write_exception_in_output_format": "0",
}

#: Settings that change the effect of a write. A user who may only read (readonly = 1) neither needs them nor may send them.
WRITES: Final[dict[str, str]] = {
    # When an insert returns, all of its rows are stored.
    "async_insert": "0",
    "wait_for_async_insert": "1",
    "input_format": "",  # otherwise it overrides the format of the insert (26.9 and later)
    "input_format_connection_handling": "0",  # otherwise part of an interrupted request is stored
    "input_format_allow_errors_num": "0",
    "input_format_allow_errors_ratio": "0",
    "input_format_record_errors_file_path": "",
    "input_format_skip_unknown_fields": "0",
    "input_format_null_as_default": "0",
    "input_format_force_null_for_omitted_fields": "0",
    "input_format_defaults_for_omitted_fields": "1",
    "input_format_arrow_case_insensitive_column_matching": "0",
    "input_format_values_interpret_expressions": "1",
    "insert_null_as_default": "0",
    # Rows that were purged and are sent again must be stored again. Only the key of the table removes repeats.
    "insert_deduplicate": "0",
    "insert_deduplication_token": "",
    "deduplicate_insert": "disable",
    "deduplicate_insert_select": "disable",
    # When a deletion returns, it has taken effect; where there is nothing to merge, OPTIMIZE is not an error.
    "lightweight_deletes_sync": "2",
    "enable_lightweight_delete": "1",
    "lightweight_delete_mode": "alter_update",
    "optimize_throw_if_noop": "0",
    "data_type_default_nullable": "0",
}
