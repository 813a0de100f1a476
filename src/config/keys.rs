//! The table of all keys: the one place that knows what can be configured. Reading the file, reading
//! the environment, naming the nearest key, listing the settings and the sample file come from it.

use super::profiles;
use super::value::{Kind, Unit};

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its path in TOML.
    pub path: &'static str,
    /// Its variables, the first being the usual one.
    pub variables: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// Its default as TOML; empty when it is unset.
    pub default: &'static str,
    /// One line about it.
    pub about: &'static str,
}

const fn key(
    path: &'static str,
    variables: &'static [&'static str],
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { path, variables, kind, default, about }
}

use Kind::{Choice, Count, Flag, List, Ratio, Secret, Secrets, Size, Span, Text};
use Unit::{Days, Millis, Seconds, Written};

const BACKENDS: Kind = Choice(&["sled", "memory", "redis", "postgresql"]);

/// The keys that every source has, below `webhooks.<source>`; `{SOURCE}` in a variable is its name.
pub const SOURCE_KEYS: [(&str, &str, Kind, &str); 11] = [
    ("enabled", "", Flag, "on when it has a secret; false switches it off"),
    ("secret", "{SOURCE}_WEBHOOK_SECRET", Secret, "the secret that the sender was given"),
    ("secret_file", "{SOURCE}_WEBHOOK_SECRET_FILE", Text, "a file with the secret"),
    (
        "secrets",
        "{SOURCE}_WEBHOOK_SECRETS",
        Secrets,
        "further secrets, while one is being replaced: texts, or tables with name, from, until, and value, file or credential; \
         separated by blanks in the variable",
    ),
    ("events", "{SOURCE}_WEBHOOK_EVENTS", List, "events to route, as `type` or `type.action`; empty for all"),
    ("path", "", Text, "the path that the sender calls"),
    ("max_body", "", Size, "the largest body"),
    ("timestamp_tolerance", "", Span(Written), "how far a signed timestamp may be from now"),
    (
        "addresses",
        "",
        List,
        "networks that may deliver, such as \"10.0.0.0/8\"; \"github\" stands for those from which GitHub says that it delivers; empty for all",
    ),
    (
        "max_requests",
        "",
        Count,
        "verified deliveries in `rate_limiter.window`; no limit when unset: GitHub sends none again",
    ),
    ("allow_unsigned", "", Flag, "take deliveries without signature; only on a loopback address"),
];

/// The kind of a source that the configuration describes itself.
pub const GENERIC: &str = "generic";

/// The keys that only such sources have, beside those of every source.
#[rustfmt::skip] // a table reads by rows
pub const GENERIC_KEYS: [(&str, Kind, &str); 12] = [
    ("kind", Choice(&[GENERIC]), "\"generic\": the source is described here"),
    ("scheme", Choice(&["standard", "hmac", "token"]), "how deliveries prove themselves: as Standard Webhooks says, by an HMAC of the body, or by the secret itself"),
    ("header", Text, "the header that proves a delivery; with the scheme `standard` webhook-signature, or svix-signature"),
    ("prefix", Text, "what stands before it there, such as \"sha256=\" or \"Bearer \""),
    ("algorithm", Choice(&["sha256", "sha512", "sha1"]), "of an HMAC; sha256 when unset"),
    ("encoding", Choice(&["hex", "base64"]), "of an HMAC; hex when unset"),
    ("event_type", Text, "an expression over `payload` and `headers['…']`; the source's name when it gives nothing"),
    ("action", Text, "an expression for what happened within the type"),
    ("delivery_id", Text, "an expression for the delivery's id; the hash of the body when it gives nothing"),
    ("subject", Text, "an expression for what it is about"),
    ("correlation_keys", List, "expressions for the keys by which waits recognise it; they begin with the source's name and a colon"),
    ("timestamp", Text, "an expression over `payload` for when it was signed; with an HMAC only"),
];

/// The section that has a table for each target of notifications, below its name.
pub const TARGETS: &str = "integrations.notifications";

/// The keys that every target of notifications has; `{TARGET}` in a variable is its name.
pub const TARGET_KEYS: [(&str, &str, Kind, &str); 6] = [
    ("kind", "", Choice(&["slack", "discord", "webhook"]), "what it speaks; webhook: Standard Webhooks"),
    ("url", "POINTSMAN_NOTIFY_{TARGET}_URL", Secret, "its address, which is a credential"),
    ("url_file", "POINTSMAN_NOTIFY_{TARGET}_URL_FILE", Text, "a file with the address"),
    ("secret", "POINTSMAN_NOTIFY_{TARGET}_SECRET", Secret, "of a webhook: what signs, whsec_ and base64"),
    ("secret_file", "POINTSMAN_NOTIFY_{TARGET}_SECRET_FILE", Text, "a file with that"),
    ("default", "", Flag, "whether it is told what names no target; true when unset"),
];

/// The section that has a table for each named token, below its name.
pub const TOKENS: &str = "admin.tokens";

/// The keys that every named token has.
pub const TOKEN_KEYS: [(&str, &str, Kind, &str); 3] = [
    ("hash", "", Secret, "what `pointsman tokens new` prints; the token itself stands nowhere"),
    ("scopes", "", List, "what its holder may do: \"read\", \"operate\", \"admin\"; a larger one includes the smaller"),
    ("expires", "", Text, "when it opens nothing any more, such as \"2027-01-01T00:00:00Z\"; never when unset"),
];

/// The variable of a target's address or secret.
pub fn target_variable(target: &str, what: &str) -> String {
    format!("POINTSMAN_NOTIFY_{}_{what}", target.to_uppercase().replace('-', "_"))
}

/// All keys but those of the sources, of the targets of notifications and of named tokens.
#[rustfmt::skip] // a table reads by rows
pub const KEYS: &[Key] = &[
    key(profiles::KEY, &[profiles::VARIABLE], Choice(&profiles::NAMES), "", "defaults for a purpose: development, testing or production; what is set here or in the environment overrides them"),
    key("server.host", &["WEBHOOK_HOST"], Text, "\"0.0.0.0\"", "address to listen on"),
    key("server.port", &["WEBHOOK_PORT", "PORT"], Count, "3000", "port to listen on; 0 takes a free one"),
    key("server.workers", &["POINTSMAN_WORKERS"], Count, "", "HTTP workers; one for every core when unset"),
    key("server.data_dir", &["POINTSMAN_DATA_DIR"], Text, "\"./data\"", "where everything durable lives"),
    key("server.read_timeout", &["POINTSMAN_READ_TIMEOUT"], Span(Written), "\"10s\"", "how long a body may take"),
    key("server.head_timeout", &["POINTSMAN_HEAD_TIMEOUT"], Span(Written), "\"5s\"", "how long the head of a request may take, from the connection's beginning, or from its own first byte"),
    key("server.keep_alive", &["POINTSMAN_KEEP_ALIVE"], Span(Written), "\"75s\"", "how long a connection may be without a request after it had one; longer than a proxy keeps its connections to us"),
    key("server.max_connections", &["POINTSMAN_MAX_CONNECTIONS"], Count, "10000", "connections; for another one the one makes way that has waited longest without a request"),
    key("server.max_connections_per_address", &["POINTSMAN_MAX_CONNECTIONS_PER_ADDRESS"], Count, "2500", "those of one address, of IPv6 of one /64; trusted proxies may have as many as there are"),
    key("server.grace_period", &["POINTSMAN_GRACE_PERIOD"], Span(Written), "\"20s\"", "how long those inside may take at shutdown"),
    key("server.max_in_flight", &["POINTSMAN_MAX_IN_FLIGHT"], Count, "2048", "requests in flight"),
    key("server.max_bytes_in_flight", &["POINTSMAN_MAX_BYTES_IN_FLIGHT"], Size, "\"256MiB\"", "bytes of bodies in flight"),
    key("server.max_share_per_address", &["POINTSMAN_MAX_SHARE_PER_ADDRESS"], Ratio, "0.5", "share of both that one address may use"),
    key("server.trusted_proxies", &["POINTSMAN_TRUSTED_PROXIES"], List, "[]", "networks of the proxies before this server; only they are believed about whose request they hand on"),
    key("server.forwarded_header", &["POINTSMAN_FORWARDED_HEADER"], Choice(&["x-forwarded-for", "forwarded"]), "\"x-forwarded-for\"", "the header in which they say it; the other is handed on as anybody wrote it"),
    key("server.tls.certificate", &["POINTSMAN_TLS_CERTIFICATE"], Text, "", "a file with our certificate and its chain, in PEM: we speak TLS ourselves; unset when a reverse proxy does"),
    key("server.tls.key", &["POINTSMAN_TLS_KEY"], Text, "", "a file with its private key, in PEM"),
    key("server.tls.handshake_timeout", &["POINTSMAN_TLS_HANDSHAKE_TIMEOUT"], Span(Written), "\"5s\"", "how long a handshake may take"),
    key("server.tls.check_interval", &["POINTSMAN_TLS_CHECK_INTERVAL"], Span(Written), "\"1m\"", "how often it is looked whether they were renewed"),
    key("admin.token", &["POINTSMAN_ADMIN_TOKEN"], Secret, "", "token of the operator API; generated into the data directory when unset"),
    key("admin.token_file", &["POINTSMAN_ADMIN_TOKEN_FILE"], Text, "", "a file with the token"),
    key("admin.guard_metrics", &["POINTSMAN_GUARD_METRICS"], Flag, "false", "ask for a token on /health and /metrics too, but not on /health/live and /health/ready"),
    key("admin.max_failures", &["POINTSMAN_ADMIN_MAX_FAILURES"], Count, "10", "wrong tokens of one address, of IPv6 of one /64, after which it is locked out"),
    key("admin.failure_window", &["POINTSMAN_ADMIN_FAILURE_WINDOW"], Span(Written), "\"15m\"", "the sliding span in which they count"),
    key("event_queue.backend", &["EVENT_QUEUE_BACKEND"], BACKENDS, "\"sled\"", "store of what waits to be worked on; the same as the event store's"),
    key("event_queue.max_size", &["EVENT_QUEUE_MAX_SIZE"], Count, "10000", "events and runs that may wait before deliveries are refused"),
    key("event_queue.concurrency", &["EVENT_QUEUE_CONCURRENCY"], Count, "5", "accepted for compatibility; workflow.max_concurrent says how many runs are at work at once"),
    key("event_queue.timeout", &["EVENT_QUEUE_TIMEOUT"], Span(Millis), "\"30s\"", "time for one attempt of a step that names none"),
    key("event_queue.retry_delay", &["EVENT_QUEUE_RETRY_DELAY"], Span(Millis), "\"5s\"", "accepted for compatibility; workflow.retry_delay is what counts"),
    key("event_queue.max_retries", &["EVENT_QUEUE_MAX_RETRIES"], Count, "3", "accepted for compatibility; workflow.max_retries is what counts"),
    key("event_queue.persistence", &["EVENT_QUEUE_PERSISTENCE"], Flag, "true", "accepted for compatibility; the queue is as durable as its store"),
    key("event_router.context", &["EVENT_ROUTER_CONTEXT"], Flag, "true", "accepted for compatibility; routes see all facts"),
    key("event_router.priority", &["EVENT_ROUTER_PRIORITY"], Flag, "true", "accepted for compatibility; priorities of routes always count"),
    key("event_router.load_balancing", &["EVENT_ROUTER_LOAD_BALANCING"], Flag, "true", "whether repositories and teams take turns"),
    key("event_router.max_attempts", &["POINTSMAN_ROUTING_ATTEMPTS"], Count, "150", "attempts to route an event before it is a dead letter; 150 take about a day"),
    key("event_router.default_priority", &["EVENT_ROUTER_DEFAULT_PRIORITY"], Count, "5", "priority of a route that names none, 1 to 10"),
    key("event_store.backend", &["EVENT_STORE_BACKEND"], BACKENDS, "\"sled\"", "where events are stored; `memory` loses them with the process"),
    key("event_store.max_events", &["EVENT_STORE_MAX_EVENTS"], Count, "", "events kept; when there are more the oldest finished ones go; unlimited when unset"),
    key("event_store.retention", &["EVENT_STORE_RETENTION_DAYS"], Span(Days), "\"30d\"", "how long events and runs are kept after they are finished"),
    key("event_store.redact", &["POINTSMAN_REDACT"], List, "[]", "secrets that are taken out of payloads before they are stored and routed: \"known\" for all shapes that are known, single ones such as \"github-token\", \"re:EXPRESSION\", \"json:/POINTER\""),
    key("event_store.compression", &["EVENT_STORE_COMPRESSION"], Flag, "true", "accepted for compatibility; payloads are always compressed"),
    key("event_store.indexing", &["EVENT_STORE_INDEXING"], Flag, "true", "accepted for compatibility"),
    key("event_store.batch_size", &["EVENT_STORE_BATCH_SIZE"], Count, "100", "accepted for compatibility; whatever is ready is one batch"),
    key("event_store.flush_interval", &["EVENT_STORE_FLUSH_INTERVAL"], Span(Millis), "\"5s\"", "accepted for compatibility; every batch is flushed before its answer"),
    key("event_deduplicator.delivery_window", &["POINTSMAN_DELIVERY_WINDOW"], Span(Written), "\"3d\"", "how long a delivery id is recognised"),
    key("event_deduplicator.window", &["EVENT_DEDUPLICATOR_WINDOW_MS"], Span(Millis), "\"5m\"", "how long an occurrence is recognised"),
    key("event_deduplicator.max_entries", &["EVENT_DEDUPLICATOR_MAX_ENTRIES"], Count, "10000", "bounds memory only, never the window"),
    key("event_deduplicator.hash_algorithm", &["EVENT_DEDUPLICATOR_HASH_ALGORITHM"], Choice(&["sha256"]), "\"sha256\"", "how fingerprints are hashed"),
    key("event_deduplicator.content_hashing", &["EVENT_DEDUPLICATOR_CONTENT_HASHING"], Flag, "true", "with source_specific = false too, occurrences are not compared"),
    key("event_deduplicator.timestamp_check", &["EVENT_DEDUPLICATOR_TIMESTAMP_CHECK"], Flag, "true", "accepted for compatibility; windows are by time"),
    key("event_deduplicator.timestamp_tolerance", &["EVENT_DEDUPLICATOR_TIMESTAMP_TOLERANCE"], Span(Millis), "\"1m\"", "accepted for compatibility"),
    key("event_deduplicator.source_specific", &["EVENT_DEDUPLICATOR_SOURCE_SPECIFIC"], Flag, "true", "with content_hashing = false too, occurrences are not compared"),
    key("retry_manager.max_retries", &["RETRY_MANAGER_MAX_RETRIES"], Count, "3", "accepted for compatibility; workflow.max_retries is what counts"),
    key("retry_manager.base_delay", &["RETRY_MANAGER_BASE_DELAY"], Span(Millis), "\"1s\"", "accepted for compatibility; workflow.retry_delay is what counts"),
    key("retry_manager.max_delay", &["RETRY_MANAGER_MAX_DELAY"], Span(Millis), "\"5m\"", "longest pause"),
    key("retry_manager.backoff_multiplier", &["RETRY_MANAGER_BACKOFF_MULTIPLIER"], Ratio, "2.0", "growth of the pause"),
    key("retry_manager.jitter_factor", &["RETRY_MANAGER_JITTER_FACTOR"], Ratio, "0.1", "share of the pause that is chance"),
    key("circuit_breaker.enabled", &["RETRY_MANAGER_CIRCUIT_BREAKER"], Flag, "true", "whether a failing service is given a rest"),
    key("circuit_breaker.threshold", &["RETRY_MANAGER_CB_THRESHOLD"], Count, "5", "failures within the window that open it"),
    key("circuit_breaker.failure_rate", &["POINTSMAN_CB_FAILURE_RATE"], Ratio, "0.5", "share of all calls of the window that they must be"),
    key("circuit_breaker.window", &["POINTSMAN_CB_WINDOW"], Span(Written), "\"1m\"", "how far back calls count"),
    key("circuit_breaker.timeout", &["RETRY_MANAGER_CB_TIMEOUT"], Span(Millis), "\"1m\"", "how long it stays open before one call probes"),
    key("validator.timestamp", &["WEBHOOK_VALIDATOR_TIMESTAMP"], Flag, "true", "accepted for compatibility; signed timestamps are always checked"),
    key("validator.timestamp_tolerance", &["WEBHOOK_VALIDATOR_TIMESTAMP_TOLERANCE"], Span(Seconds), "", "tolerance of sources that name none; unset: linear 60 s, others 300 s"),
    key("validator.ip_whitelist", &["WEBHOOK_VALIDATOR_IP_WHITELIST"], Flag, "false", "whether GitHub's deliveries must come from its own ranges, and those to other sources from allowed_ips, if there are any; `addresses` of a source overrides it"),
    key("validator.allowed_ips", &["WEBHOOK_VALIDATOR_ALLOWED_IPS"], List, "[]", "networks that may deliver to the other sources then"),
    key("validator.rate_limiting", &["WEBHOOK_VALIDATOR_RATE_LIMITING"], Flag, "true", "whether requests that cannot be verified are limited, and what else is below"),
    key("rate_limiter.window", &["RATE_LIMITER_WINDOW_MS"], Span(Millis), "\"1m\"", "the sliding span that limits are for"),
    key("rate_limiter.max_requests", &["RATE_LIMITER_MAX_REQUESTS"], Count, "100", "requests of one address in it that cannot be verified; of IPv6 of one /64"),
    key("rate_limiter.max_requests_per_source", &["POINTSMAN_RATE_LIMITER_MAX_REQUESTS_PER_SOURCE"], Count, "1000", "those to one source"),
    key("rate_limiter.max_requests_in_all", &["POINTSMAN_RATE_LIMITER_MAX_REQUESTS_IN_ALL"], Count, "2000", "all of them"),
    key("rate_limiter.max_addresses", &["POINTSMAN_RATE_LIMITER_MAX_ADDRESSES"], Count, "50000", "addresses with a count of their own; all beyond them share one"),
    key("rate_limiter.burst", &["RATE_LIMITER_BURST"], Flag, "true", "whether those of one address are also limited in a short time"),
    key("rate_limiter.burst_limit", &["RATE_LIMITER_BURST_LIMIT"], Count, "20", "how many"),
    key("rate_limiter.burst_window", &["RATE_LIMITER_BURST_WINDOW_MS"], Span(Millis), "\"10s\"", "in which time"),
    key("rate_limiter.slow_down", &["RATE_LIMITER_SLOW_DOWN"], Flag, "true", "whether an address is answered later when it comes near its limit"),
    key("rate_limiter.slow_down_threshold", &["RATE_LIMITER_SLOW_DOWN_THRESHOLD"], Ratio, "0.7", "the share of the limit from which on it is"),
    key("rate_limiter.slow_down_delay", &["RATE_LIMITER_SLOW_DOWN_DELAY"], Span(Millis), "\"1s\"", "how much later, at the limit"),
    key("rate_limiter.slow_down_at_most", &["POINTSMAN_RATE_LIMITER_SLOW_DOWN_AT_MOST"], Count, "100", "answers that are delayed at a time; all beyond them come at once"),
    key("rate_limiter.backpressure", &["RATE_LIMITER_BACKPRESSURE"], Flag, "true", "whether an address over its limit is not listened to when there is much to do"),
    key("rate_limiter.backpressure_threshold", &["RATE_LIMITER_BACKPRESSURE_THRESHOLD"], Ratio, "0.8", "much: this share of what may be in flight; for the limits that are lowered also of what may wait"),
    key("rate_limiter.adaptive", &["RATE_LIMITER_ADAPTIVE"], Flag, "true", "whether limits are lowered, by half every second, while there is much to do or we are slow"),
    key("rate_limiter.adaptive_latency", &["POINTSMAN_RATE_LIMITER_ADAPTIVE_LATENCY"], Span(Written), "\"250ms\"", "slow: this mean time of an answer, or of a write of the log"),
    key("rate_limiter.adaptive_floor", &["POINTSMAN_RATE_LIMITER_ADAPTIVE_FLOOR"], Ratio, "0.2", "the share of a limit that is left at least; the whole limit is the most"),
    key("rate_limiter.adaptive_window", &["RATE_LIMITER_ADAPTIVE_WINDOW"], Span(Millis), "\"5m\"", "how long it takes from the floor back to the whole limit"),
    key("workflow.max_concurrent", &["WORKFLOW_MAX_CONCURRENT"], Count, "10", "runs that are at work at once; those that wait count not"),
    key("workflow.timeout", &["WORKFLOW_TIMEOUT"], Span(Millis), "\"5m\"", "time for a run whose workflow names none"),
    key("workflow.retry", &["WORKFLOW_RETRY"], Flag, "true", "whether steps that name no retries are tried again"),
    key("workflow.max_retries", &["WORKFLOW_MAX_RETRIES"], Count, "3", "how often a step that names none is tried again"),
    key("workflow.retry_delay", &["WORKFLOW_RETRY_DELAY"], Span(Millis), "\"5s\"", "pause before its second attempt; it grows by retry_manager.backoff_multiplier"),
    key("workflow.inbox_window", &["POINTSMAN_INBOX_WINDOW"], Span(Written), "\"1d\"", "how long an event is kept for runs that come to wait for it"),
    key("workflow.commands", &["POINTSMAN_COMMANDS"], List, "[]", "programs that `run_command` may run, by name or absolute path"),
    key("workflow.allow_shell", &["POINTSMAN_ALLOW_SHELL"], Flag, "false", "whether `run_command` may run scripts"),
    key("workflow.secrets_dir", &["POINTSMAN_SECRETS_DIR"], Text, "", "a directory with a file for each secret that steps may name"),
    key("workflow.allow_private_addresses", &["POINTSMAN_ALLOW_PRIVATE_ADDRESSES"], List, "[]", "networks that are not public and that `http_request` may call when a template gives the host"),
    key("dead_letters.redrive_rate", &["POINTSMAN_REDRIVE_RATE"], Count, "5", "dead letters that are done again in a second, when many are"),
    key("github_handler.auto_validation", &["GITHUB_HANDLER_AUTO_VALIDATION"], Flag, "true", "whether pull requests of Codegen are validated"),
    key("github_handler.auto_update_linear", &["GITHUB_HANDLER_AUTO_UPDATE_LINEAR"], Flag, "true", "whether tickets follow their pull requests"),
    key("github_handler.auto_fix", &["GITHUB_HANDLER_AUTO_FIX"], Flag, "true", "whether Codegen mends its pull requests when their checks fail; off when Codegen's own check suites do"),
    key("github_handler.pr_validation_delay", &["GITHUB_HANDLER_PR_VALIDATION_DELAY"], Span(Millis), "\"5s\"", "pause before a validation"),
    key("github_handler.failure_delay", &["GITHUB_HANDLER_FAILURE_DELAY"], Span(Millis), "\"30s\"", "pause before it is looked at what failed for a pull request of Codegen, so that what fails together is seen together"),
    key("github_handler.push_delay", &["GITHUB_HANDLER_PUSH_DELAY"], Span(Millis), "\"30s\"", "how long no further push must have come before one of Codegen is told of"),
    key("linear_handler.auto_codegen", &["LINEAR_HANDLER_AUTO_CODEGEN"], Flag, "true", "whether assigned tickets start Codegen"),
    key("linear_handler.auto_update_github", &["LINEAR_HANDLER_AUTO_UPDATE_GITHUB"], Flag, "true", "whether pull requests follow their tickets"),
    key("linear_handler.codegen_states", &["LINEAR_HANDLER_CODEGEN_STATES"], List, "[\"In Progress\", \"Todo\"]", "states in which Codegen works"),
    key("linear_handler.completed_states", &["LINEAR_HANDLER_COMPLETED_STATES"], List, "[\"Done\", \"Completed\"]", "states of finished tickets"),
    key("linear_handler.app_user_id", &["LINEAR_HANDLER_APP_USER_ID"], Text, "", "id of our app's user in Linear; with it sessions of other apps that deliver here start nothing"),
    key("linear_handler.requirements_delay", &["LINEAR_HANDLER_REQUIREMENTS_DELAY"], Span(Millis), "\"1m\"", "how long nobody must have changed a ticket's text again before Codegen follows it"),
    key("linear_handler.default_repository", &["LINEAR_HANDLER_DEFAULT_REPOSITORY"], Text, "", "where Codegen works on tickets that name no repository, such as `owner/name`"),
    key("monitoring.metrics", &["MONITORING_METRICS"], Flag, "true", "accepted for compatibility; metrics are always there"),
    key("monitoring.health_checks", &["MONITORING_HEALTH_CHECKS"], Flag, "true", "accepted for compatibility; health is always there"),
    key("monitoring.health_check_interval", &["MONITORING_HEALTH_CHECK_INTERVAL"], Span(Millis), "\"30s\"", "accepted for compatibility; health is current at every request"),
    key("monitoring.metrics_interval", &["MONITORING_METRICS_INTERVAL"], Span(Millis), "\"1m\"", "accepted for compatibility; metrics are current at every request"),
    key("monitoring.audit_interval", &["POINTSMAN_AUDIT_INTERVAL"], Span(Written), "\"1m\"", "how often it is looked whether every run stands for a reason; what is late by less is not late"),
    key("logging.level", &["LOG_LEVEL"], Text, "\"info\"", "error, warn, info, debug, trace, or target=level pairs"),
    key("logging.format", &["POINTSMAN_LOG_FORMAT"], Choice(&["text", "json"]), "\"text\"", "how lines look"),
    key("logging.requests", &["LOG_REQUESTS"], Flag, "true", "accepted for compatibility; refused deliveries are logged at level debug and counted in /metrics"),
    key("logging.errors", &["LOG_ERRORS"], Flag, "true", "accepted for compatibility; errors are always logged"),
    key("logging.performance", &["LOG_PERFORMANCE"], Flag, "true", "accepted for compatibility"),
    key("integrations.github.api_url", &["GITHUB_API_URL"], Text, "\"https://api.github.com\"", "GitHub's API; for an own server https://HOST/api/v3"),
    key("integrations.github.write_interval", &["GITHUB_WRITE_INTERVAL"], Span(Written), "\"1s\"", "how far apart what changes something there goes; GitHub asks for a second"),
    key("integrations.github.token", &["GITHUB_TOKEN"], Secret, "", "token for statuses, checks, comments and reviews"),
    key("integrations.github.app_id", &["GITHUB_APP_ID"], Text, "", "client id or number of a GitHub App; it is used instead of the token, also when both are set, and makes check runs"),
    key("integrations.github.app_key", &["GITHUB_APP_PRIVATE_KEY"], Secret, "", "its private key, in PEM; the ends of lines may be written as \\n"),
    key("integrations.github.app_key_file", &["GITHUB_APP_PRIVATE_KEY_FILE"], Text, "", "a file with the key"),
    key("integrations.github.ranges_interval", &["POINTSMAN_GITHUB_RANGES_INTERVAL"], Span(Written), "\"1h\"", "how often GitHub is asked from which networks it delivers, where `addresses` of a source says \"github\""),
    key("integrations.github.catch_up.mode", &["POINTSMAN_GITHUB_CATCH_UP"], Choice(&["redeliver", "ingest", "off"]), "\"redeliver\"", "what could not be delivered in the last three days: have GitHub send it again, fetch it, or leave it"),
    key("integrations.github.catch_up.interval", &["POINTSMAN_GITHUB_CATCH_UP_INTERVAL"], Span(Written), "\"5m\"", "how often GitHub is asked for it, beside at every start"),
    key("integrations.github.catch_up.hooks", &["POINTSMAN_GITHUB_CATCH_UP_HOOKS"], List, "[]", "hooks that are asked about, such as \"owner/repository#123\" or \"organisation#45\"; an App's own is anyway"),
    key("integrations.linear.api_url", &["LINEAR_API_URL"], Text, "\"https://api.linear.app/graphql\"", "Linear's GraphQL API"),
    key("integrations.linear.api_key", &["LINEAR_API_KEY"], Secret, "", "personal key (lin_api_…) or token of OAuth (lin_oauth_…, sent as a bearer's) for tickets, comments and sessions of agents"),
    key("integrations.linear.client_id", &["LINEAR_CLIENT_ID"], Text, "", "client id of an app of OAuth, instead of a key: its tokens are got and replaced by themselves"),
    key("integrations.linear.client_secret", &["LINEAR_CLIENT_SECRET"], Secret, "", "its client secret"),
    key("integrations.linear.client_secret_file", &["LINEAR_CLIENT_SECRET_FILE"], Text, "", "a file with the secret"),
    key("integrations.linear.refresh_token", &["LINEAR_REFRESH_TOKEN"], Secret, "", "the refresh token of its installation; those that follow are kept in the data directory. Unset: client credentials are used, which the app must allow"),
    key("integrations.linear.refresh_token_file", &["LINEAR_REFRESH_TOKEN_FILE"], Text, "", "a file with the token"),
    key("integrations.linear.scopes", &["LINEAR_SCOPES"], List, "[\"read\", \"write\", \"app:assignable\", \"app:mentionable\"]", "what client credentials ask for"),
    key("integrations.linear.oauth_url", &["LINEAR_OAUTH_URL"], Text, "\"https://api.linear.app/oauth/token\"", "where tokens are got"),
    key("integrations.codegen.api_url", &["CODEGEN_API_URL"], Text, "\"https://api.codegen.com\"", "Codegen's API"),
    key("integrations.codegen.api_token", &["CODEGEN_API_TOKEN", "CODEGEN_API_KEY", "CODEGEN_TOKEN"], Secret, "", "token for agent runs"),
    key("integrations.codegen.org_id", &["CODEGEN_ORG_ID"], Text, "", "number of the organisation"),
    key("integrations.codegen.timeout", &["CODEGEN_API_TIMEOUT"], Span(Millis), "\"30s\"", "time for one call"),
    key("integrations.codegen.poll_interval", &["CODEGEN_POLL_INTERVAL"], Span(Millis), "\"10s\"", "pause before Codegen is asked first whether an agent run is done; then it grows, up to six times this"),
    key("integrations.claude_code.command", &["CLAUDE_CODE_COMMAND"], Text, "\"claude\"", "the command that validates pull requests"),
    key("integrations.claude_code.code", &["POINTSMAN_PR_CODE"], Choice(&["tarball", "diff"]), "\"tarball\"", "what it sees of a pull request: the files of its head, to be read only, or only what changes"),
    key("integrations.claude_code.api_key", &["ANTHROPIC_API_KEY"], Secret, "", "handed to the command, and to nothing else"),
    key("integrations.claude_code.api_url", &["CLAUDE_CODE_API_URL", "AGENTAPI_URL"], Text, "", "an agent behind AgentAPI (coder/agentapi), asked instead of the command; on this machine, such as http://127.0.0.1:3284"),
    key("integrations.claude_code.allow_remote_api", &["POINTSMAN_ALLOW_REMOTE_AGENTAPI"], Flag, "false", "whether it may be on another machine: AgentAPI asks nobody who they are, so whoever can stand between decides what passes"),
    key("integrations.claude_code.poll_interval", &["POINTSMAN_AGENTAPI_POLL_INTERVAL"], Span(Written), "\"1s\"", "how often it is looked whether the agent there has answered"),
    key("integrations.slack.webhook_url", &["SLACK_WEBHOOK_URL"], Secret, "", "incoming webhook for notifications: the target `slack`"),
    key("integrations.redis.url", &["REDIS_URL"], Secret, "", "for the store `redis`"),
    key("integrations.postgresql.url", &["DATABASE_URL"], Secret, "", "for the store `postgresql`"),
];

/// The sections and keys of which a reload puts nothing in force: what was opened, started or connected with them stays.
pub const AFTER_RESTART: [&str; 31] = [
    "server.host",
    "server.port",
    "server.workers",
    "server.data_dir",
    "server.grace_period",
    "server.head_timeout",
    "server.keep_alive",
    "server.max_connections",
    "server.max_connections_per_address",
    "server.tls",
    "event_queue.backend",
    "event_router.max_attempts",
    "event_store.backend",
    "event_store.max_events",
    "event_store.retention",
    "event_deduplicator",
    "circuit_breaker",
    "validator.rate_limiting",
    "workflow.inbox_window",
    "workflow.commands",
    "workflow.allow_shell",
    "workflow.secrets_dir",
    "workflow.allow_private_addresses",
    "dead_letters",
    "monitoring",
    "logging.format",
    "logging.requests",
    "logging.errors",
    "logging.performance",
    "integrations",
    "retry_manager.max_retries",
];

/// Whether a reload does not put a key in force.
pub fn needs_restart(path: &str) -> bool {
    let is_in = |section: &str| path.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    AFTER_RESTART.into_iter().any(is_in)
}

/// The configuration's own variable: which file to read.
pub const FILE_VARIABLE: &str = "POINTSMAN_CONFIG";
