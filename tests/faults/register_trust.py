"""Faults 29 to 40: people and their keys, what is said of them, pages, operators, processes."""

# ruff: noqa: E501 - ids of tests are as long as they are
from __future__ import annotations

from tests.faults.register import Fault
from tests.faults.register import clause as c

P, W = "faults/test_people.py::", "faults/test_places.py::"
TOKENS, OIDC, CACHE = (
    "maas/test_tokens.py::",
    "maas/test_oidc.py::",
    "plugins/test_response_cache.py::",
)
COUNT, METER = "maas/test_counters.py::", "telemetry/test_meter.py::"
GENUINE = "resources/semantic_router/test_spec_genuine.py::"

FAULTS = (
    Fault(29, "Tokens that are revoked, expired, forged, huge, of another algorithm", (
        c("401, all alike", P + "test_fault_29_tokens_that_are_none_and_a_token_that_is_no_more",
          TOKENS + "test_what_is_not_believed_is_answered_alike"),
        c("within two seconds of a revocation", TOKENS + "test_revoked_ones_are_void_at_once_"
          "everywhere", "maas/test_keys.py::test_postgres_revocations_of_others_count_within_a_"
          "second"),
        c("algorithms are pinned, `jku` and `x5u` ignored", OIDC + "test_algorithms_of_providers",
          OIDC + "test_what_is_not_believed"),
        c("keys of a provider turn without being asked for too often",
          OIDC + "test_keys_turn_and_nobody_makes_us_ask_more_often"),
        c("what is remembered is exact and bounded",
          "maas/test_keys.py::test_what_is_remembered_is_bounded", TOKENS + "test_every_byte_counts"),
        c("keys are compared in constant time",
          reason="not shown by time: they are looked up by a hash, so that no comparison of theirs "
                 "depends on the key"),
    )),
    Fault(30, "Clocks that are wrong, go back, cross months", (
        c("a little leeway for tokens, none for limits",
          P + "test_fault_30_no_clock_gives_more_than_there_is",
          "maas/test_gate.py::test_a_token_is_good_at_once_where_a_clock_is_behind",
          "maas/test_gate.py::test_a_clock_that_goes_back_prolongs_nothing"),
        c("limits by a clock that never goes back; windows are lengths, not days of a calendar",
          COUNT + "test_a_budget_does_not_refill_before_its_window_ends",
          COUNT + "test_memory_counts_as_the_model_does",
          reason="there are no windows by calendar month, so that no month ends"),
    )),
    Fault(31, "Two tenants with one prompt, one session, or each other's ids", (
        c("404 for what is another's", P + "test_fault_31_what_is_anothers_does_not_exist",
          "shells/test_responses.py::test_what_belongs_to_another_caller_does_not_exist",
          "gateway/test_maas_paths.py::test_nobody_reads_files_of_others"),
        c("no cached answer, by exact and by near question",
          CACHE + "test_nobody_of_another_tenant_is_ever_answered",
          "shells/test_response_cache.py::test_nobody_gets_what_was_told_to_somebody_else"),
        c("no conversation of another caller is steered",
          "flow/test_sticky.py::test_nobody_steers_the_conversation_of_another_caller"),
    )),
    Fault(32, "A cache that is poisoned, or whose keys collide", (
        c("partitions, and system prompt, tools and options are part of the key",
          P + "test_fault_32_no_cached_answer_is_for_anybody_else",
          CACHE + "test_any_other_field_misses",
          CACHE + "test_any_other_turn_before_the_question_misses"),
        c("calls of tools, personal data and errors are not kept",
          CACHE + "test_an_answer_that_is_not_fit_is_not_kept_and_whoever_waits_goes_on",
          CACHE + "test_a_personal_request_is_not_cached_or_only_for_the_same_request",
          "shells/test_response_cache.py::test_errors_and_cut_answers_are_not_kept"),
        c("a near question is verified by its words",
          "vocab/test_near_miss.py::test_no_near_miss_of_the_corpus_passes"),
        c("answers end, and can be let go of", "stores/test_memory.py::test_an_expired_answer_is_"
          "found_neither_by_key_nor_by_meaning",
          "gateway/test_cache_api.py::test_answers_are_let_go_by_decision_model_and_question"),
    )),
    Fault(33, "Two hundred at once with one request left; several routers; huge bounds", (
        c("at most one passes, nothing is negative",
          P + "test_fault_33_many_at_once_take_no_more_than_remains",
          COUNT + "test_parallel_requests_do_not_all_pass",
          "shells/test_limits.py::test_fifty_clients_at_the_limit"),
        c("reserved, settled, given back",
          "maas/test_limits.py::test_releasing_gives_back_tokens_and_not_the_request",
          COUNT + "test_settling_twice_or_what_nobody_knows_changes_nothing"),
        c("two routers agree",
          "shells/test_limits.py::test_fifty_clients_at_the_limit_of_two_routers"),
    )),
    Fault(34, "Servers that lie about usage", (
        c("validated, bounded; estimated and told as that where it is absent or nonsense",
          P + "test_fault_34_what_cannot_be_is_not_charged",
          METER + "test_whatever_a_server_says_kinds_are_counts_that_add_up"),
        c("nothing counts twice", METER + "test_cumulative_counts_are_not_added_up",
          METER + "test_anthropics_stream_is_counted_at_both_ends",
          METER + "test_usage_said_twice_at_the_end_is_counted_once"),
        c("totals are the sum of kinds", METER + "test_kinds_of_tokens_do_not_overlap"),
    )),
    Fault(35, "Keys in URLs, errors, logs, traces, metrics, crashes, pages", (
        c("no hit of a canary in any output, with DEBUG on",
          P + "test_fault_35_no_output_has_a_key",
          "maas/test_no_secret_is_told.py::test_nothing_tells_a_token",
          "telemetry/test_redaction.py::test_no_key_gets_into_the_log",
          "telemetry/test_traces.py::test_no_prompt_no_answer_and_no_secret_is_in_a_trace",
          "telemetry/test_prometheus.py::test_no_label_tells_who_asked_or_what",
          "deploy/test_secrets.py::test_no_value_of_a_secret_is_read_or_told"),
        c("core files", reason="not shown: a core file has the memory of the process; forbid them"),
    )),
    Fault(36, "URLs of clients and redirects that lead inside", (
        c("clients never name a host", P + "test_fault_36_no_client_names_a_host",
          "gateway/test_door.py::test_an_absolute_target_names_no_upstream"),
        c("hosts are declared by admins, over http and https alone",
          P + "test_fault_36_no_endpoint_is_anything_but_a_host"),
        c("no redirect is followed", P + "test_fault_36_no_client_names_a_host",
          "net/test_http.py::test_a_redirect_is_not_followed",
          OIDC + "test_redirects_are_not_followed"),
        c("addresses of declared hosts are pinned against rebinding",
          reason="otherwise on purpose: who declares a name trusts its DNS; names inside of a "
                 "cluster are private by nature, so that there is no list of allowed networks"),
    )),
    Fault(37, "Forged requests, scripts in names, frames, paths, default passwords, other origins", (
        c("a policy without scripts from elsewhere, names are text, no other origin reads",
          W + "test_fault_37_pages_of_the_management_api_show_names_as_text",
          "console/test_front.py::test_markup_in_names_stays_text",
          "console/test_front.py::test_every_answer_says_what_a_browser_may_do_with_it",
          reason="the page /docs of the loopback listener has its own script inline"),
        c("requests of other sites are refused, hosts checked",
          "console/test_front.py::test_what_another_site_sends_is_refused",
          "console/test_front.py::test_a_host_name_of_somebody_else_is_refused"),
        c("no path leads out of the static files",
          "console/test_static.py::test_no_path_leads_out"),
        c("no default password; guessing is slowed",
          "console/test_front.py::test_the_token_is_shown_on_the_terminal_and_in_no_log",
          "console/test_front.py::test_guessing_is_slowed_down"),
    )),
    Fault(38, "Custom resources with absurd values, of other tenants, of two owners", (
        c("refused by schema and CEL, or a condition with its reason",
          W + "test_fault_38_absurd_values_are_refused_by_the_schema",
          GENUINE + "test_every_rule_of_the_schema_is_tried", GENUINE + "test_a_wrong_value_is_"
          "refused", "resources/semantic_router/test_keeper.py::test_any_spec_in_any_cluster"),
        c("another namespace has to allow it",
          "resources/semantic_router/test_backends.py::test_another_namespace_has_to_allow_it"),
        c("somebody else's object is left alone",
          "operator/test_convergence.py::test_somebody_elses_object_of_that_name_is_left_alone"),
        c("a finaliser never blocks for ever; a second pass writes nothing",
          "operator/test_convergence.py::test_a_finalizer_waits_for_an_operator_that_was_down",
          "operator/test_real_kinds.py::test_a_second_pass_and_a_restart_write_nothing"),
        c("YAML in annotations and texts stays text",
          "resources/semantic_router/test_config_hostile.py::test_what_is_made_of_any_spec_is_"
          "something_that_a_router_starts_with"),
    )),
    Fault(39, "Signals, kills, no files, no disk, no memory, ports in use", (
        c("SIGTERM drains and ends with 0; a kill is survived; few files are no end",
          W + "test_fault_39_a_term_drains_and_a_kill_is_survived",
          "gateway/test_http_server.py::test_draining_lets_requests_end_and_closes_the_rest",
          "hardening/test_hardened.py::test_an_end_under_load_breaks_no_answer_and_a_start_takes_seconds",
          "hardening/test_hardened.py::test_out_of_descriptors_it_recovers",
          "cli/test_workers.py::test_metrics_are_added_up_and_a_dead_worker_is_replaced"),
        c("a port in use is told", W + "test_fault_39_a_port_in_use_is_told_with_its_key"),
        c("without root, on a read-only root",
          "kubelet/test_cluster.py::test_a_container_may_do_what_its_security_context_says",
          "packaging/test_shipped.py::test_ax_08_d39_pods_ask_for_no_privilege",
          "hardening/test_hardened.py::test_as_a_random_user_with_nothing_to_write_to_and_ipv6_alone"),
        c("a full disk", "production_stack/test_disk.py",
          "hardening/test_hardened.py::test_a_full_disk_costs_lines_and_no_request"),
        c("FIPS, a throttled CPU", reason="not shown: neither can be had here"),
    )),
    Fault(40, "Tampered wheels and models, `.pth` files, stale locks, up- and downgrades", (
        c("hashes are enforced, tampered models refused",
          W + "test_fault_40_every_package_of_the_lock_has_its_hashes_and_none_is_missing",
          W + "test_fault_40_a_model_that_was_tampered_with_is_refused",
          "engines/test_hub.py::test_content_that_is_not_what_was_promised_is_refused"),
        c("nothing that is installed runs by itself",
          W + "test_fault_40_nothing_that_is_installed_runs_when_python_starts",
          "hardening/test_supply_chain.py::test_an_installed_distribution_brings_no_pth"),
        c("the bill of materials is what is installed",
          "hardening/test_supply_chain.py::test_the_bill_is_what_is_installed_and_what_was_locked"),
        c("upgrade and rollback keep what runs; uninstalling keeps what is the user's",
          "packaging/test_helm.py::test_ax_05_install_upgrade_rollback_uninstall",
          "deploy/test_applying.py::test_what_is_asked_for_no_longer_goes_and_claims_stay",
          reason="of manifests; there is no earlier release yet whose data could be taken over"),
    )),
)  # fmt: skip
