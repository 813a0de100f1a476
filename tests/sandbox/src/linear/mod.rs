//! Linear's GraphQL API, as far as it is called, and as strict as the real one (linear.app/developers): every
//! document and its variables are held against Linear's published schema, and every list must say how much of it
//! is wanted.

mod answer;
mod change;
pub mod oauth;
pub mod schema;
mod shape;
mod variables;
pub mod workspace;

use serde_json::{Map, Value as Json, json};

use crate::server::{Reply, Request};
use crate::world::State;
use workspace::Workspace;

/// The personal key that the sandbox's Linear accepts.
pub const KEY: &str = "lin_api_sandbox";
/// The token of OAuth that it accepts.
pub const OAUTH_TOKEN: &str = "lin_oauth_sandbox";

/// Most complexity of one query.
const MOST_COMPLEXITY: f64 = 10_000.0;

/// What Linear says instead of doing it.
#[derive(Debug)]
struct Refusal {
    status: u16,
    code: &'static str,
    kind: &'static str,
    message: String,
}

impl Refusal {
    /// What was asked is wrong.
    fn input(message: impl Into<String>) -> Self {
        Self { status: 200, code: "INPUT_ERROR", kind: "invalid input", message: message.into() }
    }

    /// There is no such thing.
    fn not_found(kind: &str) -> Self {
        Self::input(format!("Entity not found: {kind}"))
    }

    /// The document or its variables do not fit the schema.
    fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, code: "GRAPHQL_VALIDATION_FAILED", kind: "graphql error", message: message.into() }
    }

    fn authentication(status: u16, message: &str) -> Self {
        Self { status, code: "AUTHENTICATION_ERROR", kind: "authentication error", message: message.to_owned() }
    }

    fn limited() -> Self {
        Self { status: 400, code: "RATELIMITED", kind: "ratelimited", message: "Rate limit exceeded".to_owned() }
    }

    fn reply(&self) -> Reply {
        let Self { code, kind, message, .. } = self;
        let extensions = json!({"code": code, "type": kind, "userError": true, "userPresentableMessage": message});
        Reply::json(self.status, json!({"data": null, "errors": [{"message": message, "extensions": extensions}]}))
    }
}

/// How a call is named to whoever plans faults: its path, and with `#` the operation.
pub fn place(request: &Request) -> String {
    let operation = request.json().get("operationName").and_then(Json::as_str).unwrap_or_default().to_owned();
    format!("{}#{operation}", request.path)
}

/// Answers a call; `now` is in milliseconds since the Unix epoch.
pub fn answer(state: &mut State, request: &Request, now: i64) -> Reply {
    let workspace = &mut state.linear;
    if request.path == oauth::PATH {
        return oauth::answer(&mut workspace.app, request, now);
    }
    let mut complexity = 0.0;
    let reply = match take(workspace, request, now, &mut complexity) {
        Ok(data) => Reply::json(200, json!({ "data": data })),
        Err(refusal) => refusal.reply(),
    };
    let limit = workspace.limit;
    with_limits(reply, (limit.left, limit.reset_at_ms.max(now)), complexity)
}

/// How Linear says that it will not, by plan; `until` is when its limit is lifted.
pub fn trouble(status: u16, until: i64) -> Reply {
    let message = "Internal server error".to_owned();
    match status {
        429 => with_limits(Refusal::limited().reply(), (0, until), 0.0),
        401 => Refusal::authentication(401, "Authentication required, not authenticated").reply(),
        _ => Refusal { status, code: "INTERNAL_SERVER_ERROR", kind: "internal error", message }.reply(),
    }
}

fn with_limits(mut reply: Reply, (left, reset): (u32, i64), complexity: f64) -> Reply {
    let mut say = |name: &'static str, value: String| reply.headers.push((name, value));
    say("x-ratelimit-requests-limit", workspace::MOST_REQUESTS.to_string());
    say("x-ratelimit-requests-remaining", left.to_string());
    say("x-ratelimit-requests-reset", reset.to_string());
    say("x-complexity", format!("{complexity:.0}"));
    say("x-ratelimit-complexity-limit", "3000000".to_owned());
    say("x-ratelimit-complexity-remaining", "2999000".to_owned());
    say("x-ratelimit-complexity-reset", reset.to_string());
    reply
}

fn take(workspace: &mut Workspace, request: &Request, now: i64, complexity: &mut f64) -> Result<Json, Refusal> {
    let authorization = request.header("authorization");
    if !oauth::is_good(&workspace.app, authorization, now) {
        authenticate(authorization)?;
    }
    let is_json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if request.method != "POST" || request.path != "/graphql" || !is_json {
        return Err(Refusal::invalid("POST a JSON body to /graphql"));
    }
    workspace.limit.count(now).map_err(|()| Refusal::limited())?;
    let body = request.json();
    let text = body.get("query").and_then(Json::as_str).ok_or_else(|| Refusal::invalid("there is no query"))?;
    let document = schema::read(text).map_err(|problems| Refusal::invalid(problems.join("; ")))?;
    let operation = schema::operation(&document, body.get("operationName").and_then(Json::as_str))
        .ok_or_else(|| Refusal::invalid("there is no such operation"))?;
    let given = body.get("variables").and_then(Json::as_object).cloned().unwrap_or_default();
    variables::check(operation, &given).map_err(Refusal::invalid)?;
    *complexity = shape::complexity(operation, &given);
    if *complexity > MOST_COMPLEXITY {
        return Err(Refusal::invalid(format!("Query too complex: {complexity:.0}")));
    }
    execute(workspace, operation, &given)
}

fn authenticate(authorization: Option<&str>) -> Result<(), Refusal> {
    match authorization.unwrap_or_default() {
        KEY => Ok(()),
        bearer if bearer == format!("Bearer {OAUTH_TOKEN}") => Ok(()),
        bearer if bearer.starts_with("Bearer lin_api_") => Err(Refusal::authentication(
            400,
            "It looks like you're trying to use an API key as a Bearer token. Remove the Bearer prefix from the \
             Authorization header.",
        )),
        _ => Err(Refusal::authentication(401, "Authentication required, not authenticated")),
    }
}

/// Does what each field of the operation asks for, in order.
fn execute(
    workspace: &mut Workspace,
    operation: &schema::Operation,
    given: &Map<String, Json>,
) -> Result<Json, Refusal> {
    let root = schema::root(operation);
    let mut data = Map::new();
    for field in shape::fields(operation.selection_set()) {
        let arguments = shape::arguments(field, given);
        let value = match root {
            "Mutation" => change::make(workspace, &field.name, &arguments)?,
            _ => answer::find(workspace, &field.name, &arguments)?,
        };
        let shown = shape::show(root, field, &value, given).map_err(Refusal::invalid)?;
        data.insert(field.alias.as_ref().unwrap_or(&field.name).clone(), shown);
    }
    Ok(Json::Object(data))
}
