"""Faults 1 to 18: what comes over the wire, from clients and from models' servers."""

from __future__ import annotations

from tests.faults.register import Fault
from tests.faults.register import clause as c

B, L, S = "faults/test_bodies.py::", "faults/test_lines.py::", "faults/test_servers.py::"
DOOR, UP = "gateway/test_door.py::", "gateway/test_upstream.py::"
RES, LOAD = "gateway/test_resilience.py::", "gateway/test_resilience_load.py::"
JSON = B + "test_fault_01_what_is_no_json_is_a_400_that_says_so"
MANY = B + "test_fault_02_what_is_too_deep_or_too_many_is_refused_before_it_is_built"
OVER = B + "test_fault_03_a_body_over_the_limit_is_413_as_soon_as_that_is_known"
PACKED = B + "test_fault_04_nothing_that_is_packed_is_unpacked"
CHOOSES = L + "test_fault_06_no_header_of_a_client_chooses_anything"
DIFFERENTLY = L + "test_fault_07_what_two_servers_could_read_differently_is_refused"
SPELLING = L + "test_fault_08_no_spelling_of_a_path_reaches_the_management_api"
DRIBBLES = L + "test_fault_09_a_client_that_dribbles_is_let_go"
LEAVES = L + "test_fault_10_a_client_that_leaves_takes_everything_with_it"
TRIED = S + "test_fault_11_what_fails_is_tried_elsewhere_and_else_told"
WHOLE = S + "test_fault_12_a_stream_that_breaks_off_never_looks_whole"

FAULTS = (
    Fault(1, "Malformed JSON, byte order marks, UTF-16, bad UTF-8, NaN, a key twice", (
        c("400 `invalid_json` in OpenAI's shape, no stack trace, both shells", JSON),
        c("at most 5 ms", B + "test_fault_01_it_is_refused_in_milliseconds",
          reason="CPU time, the best of five"),
        c("two `model` keys are refused, however they are written", JSON,
          "dialects/test_twice.py::test_two_models_are_refused_however_they_are_written"),
        c("half a surrogate pair is 400",
          "dialects/test_openai_chat.py::test_half_an_emoji_is_read_as_a_replacement_character",
          reason="otherwise on purpose: JavaScript clients send it; it is read as U+FFFD"),
    )),
    Fault(2, "100,000 levels, a million messages, tools, parts or keys; 1e400", (
        c("400 by a limit of depth and of count, before objects are built", MANY,
          "dialects/test_sizes.py::test_values_are_counted_and_texts_are_not"),
        c("memory grows by less than four times the body", MANY),
        c("1e400 where somebody reads it is 400", MANY,
          reason="in a field that nobody reads it passes: the model's server judges it"),
        c("honest long conversations pass",
          B + "test_fault_02_long_texts_full_of_commas_are_not_many_values"),
    )),
    Fault(3, "A body over the limit, wrong or missing lengths, chunks without end", (
        c("413 as soon as the limit is passed, then the connection is closed", OVER,
          DOOR + "test_a_request_too_large_is_413_before_it_is_read",
          DOOR + "test_chunks_too_large_are_413_when_announced",
          "extproc/test_real_envoy.py::test_a_body_above_the_limit_is_413"),
        c("nothing is buffered past the limit", OVER),
        c("a wrong length is 408 or 400, never another request",
          B + "test_fault_03_a_wrong_or_missing_length"),
        c("the management API has a limit of its own",
          "gateway/test_management.py::test_a_huge_body_is_refused_before_it_is_read",
          reason="2 MiB there and 32 MiB for models by default, not 1 and 20"),
    )),
    Fault(4, "gzip, zstd and br bombs, encodings of encodings, unknown ones", (
        c("415: nothing of a client's is ever unpacked, so no bomb goes off", PACKED,
          B + "test_fault_04_nor_for_the_management_api",
          reason="caps of size and ratio have nothing to bound"),
        c("what models' servers pack is not unpacked either",
          "shells/test_watched_answers.py::test_what_is_compressed_is_not_passed_unseen",
          "fleet/test_scrape.py::test_what_is_packed_is_no_page_and_nothing_is_unpacked"),
    )),
    Fault(5, "Wrong types in a body", (
        c("400 with `param`", B + "test_fault_05_wrong_types_are_400_and_name_the_field"),
        c("options of the model: its server's 400 and `param` reach the client",
          B + "test_fault_05_what_models_servers_judge_is_their_400",
          reason="otherwise on purpose: `temperature`, `max_tokens` are not judged here, as "
                 "servers differ in what they take"),
        c("unknown extra fields pass untouched",
          B + "test_fault_05_extra_fields_pass_untouched"),
    )),
    Fault(6, "Clients that send our own headers, in any spelling, or twice", (
        c("stripped; they influence neither route nor server, each alone", CHOOSES,
          "gateway/test_head.py::test_names_that_are_ours_are_neither_read_nor_passed",
          "extproc/test_real_envoy.py::test_controls_reach_the_router_and_other_internal_headers"
          "_do_not"),
        c("identity headers are refused where there is a gate",
          "maas/test_gate.py::test_nobody_says_who_they_are"),
        c("nor tier, nor ledger", "maas/test_gate.py::test_two_headers_have_to_agree",
          "maas/test_ledger.py::test_rows_are_written_whole_and_for_their_owner_alone"),
    )),
    Fault(7, "Request smuggling, folded and bare lines, too many headers, pseudo headers", (
        c("400 and close, 431 for size, never forwarded", DIFFERENTLY,
          L + "test_fault_07_too_many_and_too_long_headers_are_431",
          DOOR + "test_framing_that_two_servers_could_read_differently_is_refused",
          reason="Envoy mends bare line feeds and folded lines, and joins two hosts, before "
                 "anybody reads them: then one request stays one request"),
        c("what HTTP/2's pseudo headers may do to ext_proc",
          "extproc/test_h2.py::test_a_broken_stream_is_reset_and_the_connection_lives",
          reason="clients' HTTP/2 ends at Envoy; the gateway speaks HTTP/1.1 only"),
        c("headers of answers are sanitised, too",
          L + "test_fault_07_answers_are_read_as_strictly",
          "gateway/test_head.py::test_a_response_head_that_is_not_one_is_refused"),
    )),
    Fault(8, "Host, X-Forwarded-*, absolute targets, `//v1/..%2fadmin`, `;jsessionid`", (
        c("matched after one normalisation, else 400 or 404",
          L + "test_fault_08_a_path_that_is_taken_is_taken_for_what_it_is",
          DOOR + "test_an_absolute_target_names_no_upstream"),
        c("the management API is not reachable through the data port", SPELLING,
          "maas/test_doors.py::test_no_spelling_asks_anything"),
    )),
    Fault(9, "Slow heads, slow bodies, idle connections, clients that read slowly", (
        c("408 after their time, which no byte prolongs", DRIBBLES,
          DOOR + "test_a_client_that_sends_byte_by_byte_gains_no_time"),
        c("a bounded buffer for who does not read, then the end",
          UP + "test_a_client_that_does_not_read_holds_the_server_back",
          UP + "test_a_client_that_stops_reading_is_let_go"),
        c("other clients are not slowed",
          L + "test_fault_09_idle_connections_cost_others_nothing", DRIBBLES,
          reason="400 idle connections, not 10,000, and medians, not p99"),
    )),
    Fault(10, "Clients that leave before, during and between answers", (
        c("the server is let go within a second, slots are free, 499 in the log, no task stays",
          LEAVES, RES + "test_a_client_that_leaves_between_attempts_ends_them"),
        c("tokens so far are charged",
          "shells/test_accounting.py::test_a_client_that_leaves_is_charged_for_what_was_made",
          "shells/test_limits.py::test_who_leaves_is_charged_for_what_was_sent"),
    )),
    Fault(11, "Servers that refuse, are silent, fail TLS or DNS, reset", (
        c("the next server is tried, the log has both", TRIED),
        c("within the budget and the time",
          RES + "test_the_whole_takes_no_longer_than_it_may",
          RES + "test_a_storm_of_errors_is_not_made_worse"),
        c("then 502, 503 or 504 as JSON", TRIED,
          UP + "test_no_response_is_an_error_that_says_why"),
        c("who fails is left out",
          "fleet/test_fleet.py::test_two_failures_in_a_row_take_a_replica_out_and_time_brings_it_"
          "back"),
    )),
    Fault(12, "Streams that are reset, stall, or turn into something else", (
        c("an error frame with a code, no `[DONE]`, a bad end", WHOLE,
          "shells/test_streams_and_reload.py::test_a_stream_that_breaks_off_is_an_error_never_a_"
          "tidy_end", UP + "test_a_response_that_stops_is_broken_off"),
        c("usage is estimated and flagged",
          "shells/test_accounting.py::test_a_stream_that_its_server_breaks_off_is_estimated_and_"
          "says_so"),
        c("never resumed on another model", LOAD + "test_never_in_the_middle"),
    )),
    Fault(13, "A 200 with an error, HTML, nothing, another type; 204; a redirect", (
        c("502 `upstream_invalid_response`, a failure of the server",
          S + "test_fault_13_what_is_no_completion_is_502",
          S + "test_fault_13_what_is_no_stream_is_502_where_one_was_asked_for",
          RES + "test_what_is_no_completion_is_no_answer",
          reason="behind Envoy such answers pass as they are"),
    )),
    Fault(14, "429 and 503 with Retry-After: seconds, a date, nonsense, 10^9", (
        c("honoured, capped, others used meanwhile",
          S + "test_fault_14_a_wait_is_honoured_and_capped",
          RES + "test_what_servers_ask_for_is_read", RES + "test_a_date_is_read"),
        c("passed on up to the cap",
          RES + "test_clients_are_told_no_longer_wait_than_makes_sense"),
        c("no storm of retries",
          "shells/test_faults.py::test_a_storm_of_429_goes_around_the_server_that_asked_for_peace"),
    )),
    Fault(15, "Streams, lines and headers without end", (
        c("limits of time, of a line and of headers; 502", RES + "test_a_stream_without_end_is_"
          "broken_off", S + "test_fault_15_a_line_without_end_is_broken_off",
          S + "test_fault_15_headers_without_end_are_502"),
        c("memory stays flat", S + "test_fault_15_headers_without_end_are_502",
          S + "test_fault_15_a_line_without_end_is_broken_off", reason="by bytes taken, not RSS"),
    )),
    Fault(16, "All servers of a model, or of all models, are gone", (
        c("503 with Retry-After, or the declared fallback, which headers tell",
          S + "test_fault_16_nobody_is_there_and_then_somebody_is",
          "shells/test_faults.py::test_when_every_server_is_gone_another_model_answers_then_"
          "nobody"),
        c("who comes back is used within a probe",
          "fleet/test_probe.py::test_a_simulated_server_that_dies_is_left_out_and_comes_back_by_"
          "itself", LOAD + "test_one_request_tries_a_server_whose_pause_is_over"),
    )),
    Fault(17, "A storm of retries: half of all requests fail", (
        c("at most a fifth more requests, healthy traffic is not slowed",
          S + "test_fault_17_a_storm_of_failures_is_not_made_worse",
          "fleet/test_budget.py::test_no_more_than_the_share",
          "shells/test_faults.py::test_a_server_that_fails_now_and_then_is_asked_within_a_budget"),
    )),
    Fault(18, "Ten times as much as there is room for", (
        c("shed at once with a time to come back; health is answered",
          S + "test_fault_18_overload_is_shed_and_the_urgent_go_first",
          "hardening/test_admission.py::test_what_is_more_is_answered_429_at_once_and_"
          "probes_are_answered"),
        c("the least urgent first",
          LOAD + "test_the_urgent_go_first_and_the_others_make_room"),
        c("goodput of at least 90 % of the capacity",
          LOAD + "test_overload_leaves_the_capacity_to_those_who_are_served",
          "load/test_load.py::test_at_three_times_saturation_it_sheds_and_keeps_its_pace"),
    )),
)  # fmt: skip
