//! Where apps of OAuth get tokens (linear.app/developers, "OAuth 2.0 authentication"): form-encoded, by a refresh token that is
//! good once and followed by another one, or by client credentials, which get none. Refusals are those of RFC 6749, section 5.2.

use serde_json::{Value as Json, json};

use super::workspace::App;
use crate::server::{Reply, Request};

/// Where that is.
pub const PATH: &str = "/oauth/token";

/// The client id of the one app.
pub const CLIENT_ID: &str = "sandbox-client";

/// Its secret.
pub const CLIENT_SECRET: &str = "sandbox client/secret";

/// Its first refresh token.
pub const REFRESH_TOKEN: &str = "lin_refresh_0";

/// Whether a request carries a token that was given, and is good now.
pub fn is_good(app: &App, authorization: Option<&str>, now: i64) -> bool {
    let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    app.tokens.iter().any(|(known, until)| known == token && now < *until)
}

/// Gives a token, or says why not.
pub fn answer(app: &mut App, request: &Request, now: i64) -> Reply {
    let is_form = request.header("content-type") == Some("application/x-www-form-urlencoded");
    if request.method != "POST" || !is_form {
        return refusal(400, "invalid_request", "POST a form");
    }
    let pairs: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
    let given = |name: &str| pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    let grant = given("grant_type").to_owned();
    let refused = refused(app, (given("client_id"), given("client_secret")), &grant, &given);
    app.grants.push((grant.clone(), refused.is_none()));
    if let Some(refused) = refused {
        return refused;
    }
    let number = app.tokens.len() + 1;
    let token = format!("lin_token_{number}");
    app.tokens.push((token.clone(), now + app.tokens_live * 1_000));
    let mut body =
        json!({"access_token": token, "token_type": "Bearer", "expires_in": app.tokens_live, "scope": "read write"});
    if grant == "refresh_token" {
        app.refresh_token = format!("lin_refresh_{number}");
        if let Json::Object(body) = &mut body {
            body.insert("refresh_token".to_owned(), app.refresh_token.clone().into());
        }
    }
    Reply::json(200, body)
}

fn refused<'a>(app: &App, credentials: (&str, &str), grant: &str, given: &impl Fn(&str) -> &'a str) -> Option<Reply> {
    if credentials != (CLIENT_ID, CLIENT_SECRET) {
        return Some(refusal(401, "invalid_client", "Client authentication failed"));
    }
    match grant {
        // What was sent is said again, so that whoever repeats it is seen.
        "refresh_token" if given("refresh_token") != app.refresh_token => {
            let said = format!("Refresh token {} is expired or was used", given("refresh_token"));
            Some(refusal(400, "invalid_grant", &said))
        }
        "client_credentials" if !app.allows_client_credentials => {
            Some(refusal(400, "unauthorized_client", "Client credentials are not enabled"))
        }
        "client_credentials" if !given("scope").split(',').any(|scope| scope == "write") => {
            Some(refusal(400, "invalid_scope", "Scope is required"))
        }
        "refresh_token" | "client_credentials" => None,
        _ => Some(refusal(400, "unsupported_grant_type", "Unsupported grant type")),
    }
}

fn refusal(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, json!({"error": error, "error_description": description}))
}
