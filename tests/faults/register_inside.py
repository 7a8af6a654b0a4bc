"""Faults 19 to 28: stores, databases, clusters, configurations, patterns, engines and prompts."""

from __future__ import annotations

from tests.faults.register import Fault
from tests.faults.register import clause as c

I = "faults/test_inside.py::"  # noqa: E741
REDIS, WATCH = "stores/test_redis_faults.py::", "kube/test_watch.py::"
LOADS = "settings/test_load.py::"

FAULTS = (
    Fault(19, "Redis is down, dies, is slow, read-only, full, or refuses the password", (
        c("the router starts and answers without it, with no 500 and little time added",
          I + "test_fault_19_without_its_redis_a_router_starts_and_answers",
          "stores/test_redis_serving.py::test_no_request_is_lost_to_a_redis_that_is_killed_stalled_"
          "and_started_again", REDIS + "test_a_slow_server_is_not_waited_for"),
        c("each way to fail is told, and it recovers alone",
          REDIS + "test_killed_and_started_again",
          REDIS + "test_a_full_server_is_read_and_said_to_keep_nothing",
          REDIS + "test_a_server_that_is_read_only_is_read",
          REDIS + "test_a_wrong_password_is_said_and_a_corrected_one_taken"),
        c("limits do what is stated", "shells/test_limits.py::test_a_redis_that_is_away"),
        c("a gauge says that it is degraded",
          I + "test_fault_19_without_its_redis_a_router_starts_and_answers"),
        c("a failover to another address",
          reason="not shown: no cluster of Redis here; a name is looked up again"),
    )),
    Fault(20, "The database is down, locked, slow, or its disk is full", (
        c("models are asked by who is known; making keys is 503",
          I + "test_fault_20_while_its_database_is_locked_tokens_go_on",
          "stores/test_sqlite.py::test_a_locked_file_costs_the_time_it_may_and_not_the_loop"),
        c("usage waits in a bounded queue and is dropped with a count",
          "maas/test_ledger.py::test_what_is_too_much_is_dropped_and_told",
          "maas/test_ledger.py::test_a_file_that_cannot_be_written_is_told_and_tried_again",
          reason="the queue is in memory, not on a disk"),
        c("a schema of another version is left alone",
          "maas/test_ledger.py::test_a_later_versions_file_is_left_alone",
          "stores/test_sqlite.py::test_a_later_schema_is_left_alone",
          reason="there has been no migration yet that could be half done"),
    )),
    Fault(21, "The API server is down or busy, watches are stale, the lease or a right is lost", (
        c("what is known stays in force",
          "kube/test_registry.py::test_a_service_that_is_not_ready_and_a_cluster_that_is_away",
          WATCH + "test_a_server_that_is_away_is_told_once_and_comes_back",
          WATCH + "test_a_right_that_is_withdrawn_leaves_the_copy_as_it_was"),
        c("410 means to list again, with jitter",
          WATCH + "test_a_version_that_is_gone_means_to_list_again",
          I + "test_fault_21_pauses_before_a_cluster_is_asked_again_grow_and_are_spread"),
        c("nothing is done by a stale copy",
          "kube/test_cache.py::test_a_write_is_known_before_the_watch_tells",
          "operator/test_bad_days.py::test_a_frozen_server_and_one_that_starts_again"),
        c("one leader at a time", "kube/test_lease.py::test_never_two_lead",
          "operator/test_bad_days.py::test_two_leaders_and_one_is_killed",
          "operator/test_bad_days.py::test_who_leads_no_more_writes_no_more"),
        c("a missing right and a CRD that goes are a condition and an event",
          "operator/test_bad_days.py::test_without_a_right_it_says_so_and_goes_on_when_it_comes",
          "operator/test_convergence.py::test_a_kind_may_come_and_go"),
    )),
    Fault(22, "Pods that are not ready, end, flap, or whose address another model has now", (
        c("only ready endpoints", "kube/test_servers.py::test_a_service_is_its_ready_endpoints",
          "kube/test_pods.py::test_ready"),
        c("a server of another model is left out",
          "fleet/test_probe.py::test_a_server_of_another_model_is_left_out_until_it_serves_this_"
          "one"),
        c("flapping costs no request, and no storm of configurations",
          I + "test_fault_22_endpoints_that_flap_cost_no_request_and_lead_to_no_other_model",
          "runtime/test_served.py::test_pods_that_flap_make_no_storm_of_configurations"),
    )),
    Fault(23, "Configurations that are empty, broken, wrong, circular, huge, or run code", (
        c("refused with a place and a hint; the last good one stays",
          I + "test_fault_23_a_bad_configuration_is_refused_and_the_last_good_one_stays",
          "settings/test_problems.py::test_a_problem_says_where_and_what"),
        c("at the first start an exit status",
          I + "test_fault_23_at_the_first_start_it_ends_with_a_status"),
        c("limits of size, aliases and nesting; no tag makes an object",
          LOADS + "test_a_huge_file_is_refused_before_it_is_read",
          LOADS + "test_aliases_cannot_blow_up", LOADS + "test_nesting_without_end_is_refused"),
        c("an empty file is an empty configuration",
          LOADS + "test_nothing_is_an_empty_configuration",
          reason="otherwise on purpose: it starts and answers 404 to every model"),
        c("a file without the right to read it", reason="not shown: tests run as root"),
    )),
    Fault(24, "A thousand reloads, also while streams run", (
        c("one whole configuration for each request, old ones are let go",
          I + "test_fault_24_a_thousand_reloads_mix_nothing_and_leave_nothing",
          "shells/test_streams_and_reload.py::test_a_reload_loses_no_request_under_way",
          "load/test_load.py::test_a_day_of_everything_leaves_memory_as_it_was",
          reason="dozens of reloads with requests between them; a thousand streams are a load "
                 "scenario"),
    )),
    Fault(25, "Patterns that backtrack, ten thousand rules, empty patterns, a megabyte", (
        c("RE2 alone; what it cannot do is refused with its place",
          "vocab/test_patterns.py::test_a_pattern_that_eats_other_engines_takes_no_time",
          "vocab/test_patterns.py::test_what_re2_does_not_do_is_refused_with_the_place"),
        c("ten thousand words compile and match in bounded time",
          I + "test_fault_25_no_pattern_and_no_prompt_takes_long",
          reason="0.25 s of CPU time is the bar of the test, not 5 ms for 100 kB"),
        c("long texts leave the loop",
          "engines/test_registry.py::test_a_long_text_is_read_on_another_thread"),
    )),
    Fault(26, "Engines that are missing, corrupt, slow, say NaN, or run out of memory", (
        c("the default decision, never 500",
          I + "test_fault_26_an_engine_that_fails_costs_the_decision_and_not_the_request",
          "flow/test_route.py::test_a_signal_nobody_answers_is_open_or_closed_as_the_decision_says",
          "engines/test_onnx.py::test_what_is_not_a_number_is_no_answer"),
        c("it is told", "gateway/test_management.py::test_a_signal_that_cannot_be_read_is_told",
          reason="in the log, the record and metrics; there is no `fallback_reason` header"),
        c("each question has its time",
          "engines/test_pool.py::test_an_ask_past_its_deadline_is_never_begun_and_frees_its_place"),
        c("a model's hash is verified before it is loaded",
          "engines/test_hub.py::test_content_that_is_not_what_was_promised_is_refused",
          "engines/test_selection_file.py::test_a_changed_byte_is_found_out"),
    )),
    Fault(27, "Zero-width and look-alike letters, right-to-left marks, tags, leetspeak, base64", (
        c("detectors read a folded copy",
          "engines/test_jailbreak.py::test_disguised_attacks_are_read",
          "engines/test_jailbreak.py::test_encoded_attacks_are_decoded",
          "engines/test_jailbreak.py::test_innocent_texts_hide_nothing"),
        c("what goes on is what came, to the byte",
          I + "test_fault_27_what_is_read_for_detection_is_never_what_is_sent"),
    )),
    Fault(28, "Words that are meant for the router", (
        c("text is data: a free tier's words reach no premium model",
          I + "test_fault_28_no_words_lead_to_a_model_of_another_tier"),
        c("the tier is checked after the selection",
          "flow/test_authorised.py::test_the_candidates_are_those_that_the_caller_may_use",
          "contracts/test_permitted_subset.py"),
        c("a model that judges texts is not led by them",
          "engines/test_http_chat.py::test_a_text_cannot_close_its_markers"),
    )),
)  # fmt: skip
