//! The shapes by which secrets can be told from other text: what those who give them out say that they look like.
//!
//! A secret without a shape, such as the secret half of an AWS key or a password, is not among them: nobody could tell it.

/// A shape.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name, in the configuration and in what is put in its place.
    pub name: &'static str,
    /// What matches it.
    pub pattern: &'static str,
    /// Whether `known` stands for it, too.
    pub is_known: bool,
}

const fn shape(name: &'static str, pattern: &'static str) -> Shape {
    Shape { name, pattern, is_known: true }
}

/// All shapes, each with where it is described. Where a prefix is short or a word of its own, it begins a word.
#[rustfmt::skip] // a table reads by rows
pub const SHAPES: [Shape; 17] = [
    // docs.github.com, "About authentication to GitHub", token formats. Tokens of installations may hold dots.
    shape("github-token", r"gh[pousr]_[A-Za-z0-9_.\-]{20,}|github_pat_[A-Za-z0-9_]{20,}"),
    // docs.gitlab.com, "Token overview", token prefixes.
    shape("gitlab-token", r"gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_.\-]{20,}"),
    // docs.slack.dev, "Tokens": bots, users, apps, and those that are rotated.
    shape("slack-token", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9\-]{10,}|xapp-[A-Za-z0-9\-]{10,}"),
    // docs.slack.dev, "Sending messages using incoming webhooks": the address is the credential.
    shape("slack-webhook", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_\-]{10,}"),
    // discord.com/developers, "Webhook Resource".
    shape("discord-webhook", r"discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{5,}/[A-Za-z0-9_\-]{20,}"),
    // docs.aws.amazon.com, IAM, "Understanding unique ID prefixes": access keys, and those of sessions.
    shape("aws-key-id", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    // RFC 7468, RFC 9580; to the end of the text if it is cut off.
    shape("private-key", r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)"),
    // docs.claude.com, "API overview".
    shape("anthropic-key", r"\bsk-ant-[A-Za-z0-9_\-]{20,}"),
    // platform.openai.com, "API keys": of a user, a project, a service account, an administrator.
    shape("openai-key", r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_\-]{20,}|[A-Za-z0-9]{32,})"),
    // docs.stripe.com, "API keys": secret and restricted ones.
    shape("stripe-key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,}"),
    // linear.app/developers: keys, tokens of OAuth, secrets of webhooks.
    shape("linear-key", r"\blin_(?:api|oauth|wh)_[A-Za-z0-9]{16,}"),
    // docs.npmjs.com, "About access tokens".
    shape("npm-token", r"\bnpm_[A-Za-z0-9]{36}"),
    // pypi.org/help, "API tokens": all begin with the name of the site, encoded.
    shape("pypi-token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_\-]{20,}"),
    // cloud.google.com, "API keys".
    shape("google-key", r"\bAIza[A-Za-z0-9_\-]{35}"),
    // Standard Webhooks 1.0.0, "Signature scheme"; Stripe's look the same.
    shape("webhook-secret", r"\bwhsec_[A-Za-z0-9+/=]{16,}"),
    // Our own, as `pointsman tokens new` makes them.
    shape("pointsman-token", r"\bpsm_[A-Za-z0-9_\-]{20,}"),
    // RFC 7519, RFC 7515: header and claims are objects. Many are no secrets, so they are left unless they are named.
    Shape { is_known: false, ..shape("jwt", r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}") },
];

/// The word that stands for all that are known.
pub const KNOWN: &str = "known";
