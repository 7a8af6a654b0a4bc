"""Keys of LiteLLM's ``config.yaml`` that have no effect here, each with its reason.

What the table does not name is told as a key that nobody knows, with the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from wayside.translate.notes import Severity

Why = tuple[str, Severity]


def _same(keys: str, why: str, severity: Severity) -> Iterable[tuple[str, Why]]:
    return ((key, (why, severity)) for key in keys.split())


_MAAS: Final = "who may ask, and how much, is said by maas: how-to/models-as-a-service"
_CALLBACKS: Final = (
    "metrics are at /metrics, one line a request is in the log; nobody else is told"
)
_SHARED: Final = "routers share no counters"

LITELLM: Final[dict[str, Why]] = dict([
    *_same("success_callback failure_callback callbacks service_callbacks audit_log_callbacks "
           "langfuse_default_tags", _CALLBACKS, "unsupported"),
    *_same("cache cache_params enable_redis_auth_cache",
           "answers are kept where a decision has the plugin response_cache: how-to/cache-answers",
           "unsupported"),
    *_same("turn_off_message_logging redact_messages_in_exceptions redact_user_api_key_info",
           "prompts and keys are never in the log", "ignored"),
    *_same("set_verbose suppress_debug_info force_ipv4 telemetry disable_hf_tokenizer_download "
           "disable_copilot_system_to_assistant disable_add_transform_inline_image_block",
           "there is nothing of the kind here", "ignored"),
    *_same("drop_params additional_drop_params", "fields that a provider refuses are left out",
           "ignored"),
    *_same("modify_params enable_preview_features enable_json_schema_validation",
           "requests are passed on as clients write them", "unsupported"),
    *_same("content_policy_fallbacks", "a refusal is an answer; decide by a signal of safety",
           "unsupported"),
    *_same("ssl_verify ssl_certificate ssl_security_level",
           "certificates are verified; models.NAME.tls says with what", "refused"),
    *_same("max_budget budget_duration max_internal_user_budget internal_user_budget_duration "
           "max_end_user_budget max_ui_session_budget default_internal_user_params "
           "default_team_params default_team_settings default_key_generate_params "
           "upperbound_key_generate_params key_generation_settings "
           "enable_key_alias_format_validation disable_end_user_cost_tracking "
           "disable_end_user_cost_tracking_prometheus_only", _MAAS, "unsupported"),
    *_same("guardrails mcp_aliases mcp_semantic_tool_filter public_model_groups "
           "custom_provider_map s3_callback_params vector_store_registry tag_budget_config "
           "use_chat_completions_url_for_anthropic_messages priority_reservation "
           "priority_reservation_settings default_vertex_config return_response_headers "
           "forward_traceparent_to_llm_provider user_url_validation user_url_allowed_hosts",
           "there is nothing of the kind here", "unsupported"),
])  # fmt: skip

ROUTER: Final[dict[str, Why]] = dict([
    *_same("redis_host redis_port redis_password redis_url redis_db redis_ssl cache_kwargs "
           "cache_responses caching_groups client_ttl", _SHARED, "unsupported"),
    *_same("enable_pre_call_checks enable_pre_call_check",
           "a prompt too long for a model goes to its fallbacks with a greater context_window",
           "ignored"),
    *_same("optional_pre_call_checks deployment_affinity_ttl_seconds",
           "sessions stay on a server by picking, conversations on a model by sticky",
           "unsupported"),
    *_same("content_policy_fallbacks", "a refusal is an answer; decide by a signal of safety",
           "unsupported"),
    *_same("enable_tag_filtering tag_filtering_match_any tag_routing",
           "requests are routed by signals, such as metadata and event, not by tags",
           "unsupported"),
    *_same("routing_strategy_args", "strategies have settings of their own: wayside catalog",
           "unsupported"),
    *_same("retry_after", "pauses grow and are drawn: retries.backoff_s", "unsupported"),
    *_same("allowed_fails_policy model_group_retry_policy",
           "all errors of a server count alike: breaker, retries", "unsupported"),
    *_same("default_litellm_params", "nothing is added to what a client asks", "unsupported"),
    *_same("provider_budget_config", _MAAS, "unsupported"),
    *_same("default_priority polling_interval",
           "who goes first is said by urgency, of decisions and groups", "unsupported"),
    *_same("set_verbose debug_level ignore_invalid_deployments router_general_settings",
           "there is nothing of the kind here", "ignored"),
    *_same("alerting_config assistants_config search_tools guardrail_list routing_groups "
           "enable_weighted_failover", "there is nothing of the kind here", "unsupported"),
])  # fmt: skip

GENERAL: Final[dict[str, Why]] = dict([
    *_same("master_key", "nobody is asked for a key until maas is set, so the router listens on "
           "loopback only: how-to/models-as-a-service", "unsupported"),
    *_same("database_url database_connection_pool_limit database_connection_timeout "
           "database_url_read_replica allow_requests_on_db_unavailable "
           "disable_prisma_schema_update disable_spend_logs disable_spend_updates "
           "disable_reset_budget disable_adding_master_key_hash_to_db disable_master_key_return "
           "proxy_budget_rescheduler_min_time proxy_budget_rescheduler_max_time "
           "proxy_batch_write_at maximum_spend_logs_retention_period "
           "maximum_spend_logs_retention_interval user_api_key_cache_ttl custom_auth "
           "custom_key_generate custom_sso enable_jwt_auth litellm_jwtauth enable_oauth2_auth "
           "oauth2_config_mappings enable_oauth2_proxy_auth litellm_key_header_name "
           "key_management_system key_management_settings service_account_settings "
           "default_team_disabled allow_user_auth allowed_routes public_routes admin_only_routes "
           "enforce_user_param enforced_params reject_clientside_metadata_tags "
           "litellm_license", _MAAS, "unsupported"),
    *_same("store_model_in_db supported_db_objects",
           "models in the database are not in this file; export them into model_list",
           "unsupported"),
    *_same("store_prompts_in_spend_logs",
           "prompts are kept only where a decision has the plugin router_replay", "unsupported"),
    *_same("alerting alerting_threshold alerting_args alert_types alert_to_webhook_url "
           "spend_report_frequency", _CALLBACKS, "unsupported"),
    *_same("global_max_parallel_requests", "bounds are of models (queue) and servers "
           "(max_in_flight)", "unsupported"),
    *_same("forward_client_headers_to_llm_api forward_openai_org_id "
           "use_client_credentials_pass_through_routes allow_client_side_credentials",
           "a client's own keys pass where a model has accept_user_keys", "unsupported"),
    *_same("pass_through_endpoints", "only paths of the known APIs are passed on", "unsupported"),
    *_same("infer_model_from_keys embedding_model image_generation_model moderation_model "
           "use_azure_key_vault use_google_kms disable_responses_id_security "
           "disable_retry_on_max_parallel_request_limit_error user_mcp_management_mode "
           "proxy_batch_polling_interval max_response_size_mb ui_access_mode allowed_ips "
           "use_x_forwarded_for", "there is nothing of the kind here", "unsupported"),
    *_same("health_check_details", "details are on the management listener", "ignored"),
])  # fmt: skip

SECTIONS: Final[dict[str, Why]] = dict([
    *_same("environment_variables",
           "set them in the router's environment; values are not copied", "refused"),
    *_same("include", "give what these files hold in one file", "refused"),
    *_same("guardrails policies policy_attachments",
           "guards are plugins and signals of decisions: how-to/guard-prompts-and-answers",
           "unsupported"),
    *_same("callback_settings", _CALLBACKS, "unsupported"),
    *_same("mcp_servers mcp_tools search_tools vector_store_registry vector_stores prompts "
           "finetune_settings files_settings assistant_settings default_vertex_config "
           "worker_registry", "there is nothing of the kind here", "unsupported"),
])  # fmt: skip
