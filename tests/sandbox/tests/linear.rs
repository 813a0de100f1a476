//! The sandbox's Linear is as strict as the real one.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test falls loudly")]

use pointsman_sandbox::Sandbox;
use pointsman_sandbox::linear::workspace::Issue;
use pointsman_sandbox::linear::{KEY, OAUTH_TOKEN};
use serde_json::{Value, json};

const UPDATE: &str =
    "mutation U($id: String!, $input: IssueUpdateInput!) { issueUpdate(id: $id, input: $input) { success } }";
const COMMENT: &str = "mutation C($input: CommentCreateInput!) { commentCreate(input: $input) { comment { id } } }";
const ISSUE: &str = "query Q($id: String!) { issue(id: $id) { state { name } again: identifier } }";

async fn sandbox() -> Sandbox {
    let sandbox = Sandbox::start(0).await.unwrap();
    let (id, identifier, state) = ("i1".into(), "ENG-1".into(), "Todo".into());
    sandbox.world().state().linear.put_issue(Issue { id, identifier, state, ..Issue::default() });
    sandbox
}

async fn ask(sandbox: &Sandbox, authorization: &str, query: &str, variables: Value) -> (u16, i64, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("{}/linear/graphql", sandbox.url())).header("authorization", authorization);
    let answer = request.json(&json!({"query": query, "variables": variables})).send().await.unwrap();
    let left = answer.headers()["x-ratelimit-requests-remaining"].to_str().unwrap().parse().unwrap();
    (answer.status().as_u16(), left, answer.json().await.unwrap())
}

#[actix_rt::test]
async fn only_what_the_schema_knows_is_taken() {
    let sandbox = sandbox().await;
    let check = async |query: &str, variables: Value, expect: u16, said: &str| {
        let (status, _, body) = ask(&sandbox, KEY, query, variables).await;
        assert!(status == expect && body.to_string().contains(said), "{status} {body}");
    };
    check(ISSUE, json!({"id": "ENG-1"}), 200, r#"{"data":{"issue":{"again":"ENG-1","state":{"name":"Todo"}}}}"#).await;
    check(ISSUE, json!({"id": "ENG-9"}), 200, "Entity not found: Issue").await;
    check(ISSUE, json!({}), 400, "$id: a value is required").await;
    check(ISSUE, json!({"id": 7}), 400, "$id: String expected").await;
    check(ISSUE, json!({"id": "ENG-1", "more": 1}), 400, "not defined").await;
    check(UPDATE, json!({"id": "i1", "input": {"status": "Done"}}), 400, "\\\"status\\\" is not defined by type").await;
    check(UPDATE, json!({"id": "i1", "input": {"labelIds": [7]}}), 400, "$input.labelIds[0]: String expected").await;
    check(UPDATE, json!({"id": "i1", "input": {"stateId": "nowhere"}}), 200, "Entity not found: WorkflowState").await;
    check(UPDATE, json!({"id": "ENG-1", "input": {"stateId": "state-done"}}), 200, "true").await;
    check("query Q { issue(id: \"i1\") { status } }", json!({}), 400, "status").await;
    check("query Q { issue(id: \"i1\") { labels { nodes { id } } } }", json!({}), 400, "(`first`)").await;
    check("query Q { issue(id: \"i1\") { dueDate } }", json!({}), 400, "the sandbox does not know Issue.dueDate").await;
    let huge =
        "query Q { issue(id: \"i1\") { labels(first: 200) { nodes { children(first: 250) { nodes { id } } } } } }";
    check(huge, json!({}), 400, "Query too complex").await;
    assert_eq!(sandbox.world().state().linear.issue("i1").unwrap().state, "Done");
}

#[actix_rt::test]
async fn an_id_is_taken_once() {
    let sandbox = sandbox().await;
    let id = "6f0c6f0e-3c1e-4b52-9f0a-7d3a52a7f9d1";
    let input = |id: &str| json!({"input": {"id": id, "issueId": "ENG-1", "body": "x"}});
    let (_, _, made) = ask(&sandbox, KEY, COMMENT, input(id)).await;
    assert_eq!(made["data"]["commentCreate"]["comment"]["id"], id);
    let (_, _, again) = ask(&sandbox, KEY, COMMENT, input(id)).await;
    assert!(again.to_string().contains("there already"), "{again}");
    let (_, _, other) = ask(&sandbox, KEY, COMMENT, input("6f0c6f0e-3c1e-7b52-9f0a-7d3a52a7f9d1")).await;
    assert!(other.to_string().contains("UUID of version 4"), "{other}");
    assert_eq!(sandbox.world().state().linear.comments.len(), 1);
}

#[actix_rt::test]
async fn keys_and_limits_are_looked_at() {
    let sandbox = sandbox().await;
    let check = async |authorization: &str, expect: u16, said: &str| {
        let (status, _, body) = ask(&sandbox, authorization, ISSUE, json!({"id": "i1"})).await;
        assert!(status == expect && body.to_string().contains(said), "{authorization}: {status} {body}");
    };
    check("lin_api_other", 401, "AUTHENTICATION_ERROR").await;
    check(&format!("Bearer {KEY}"), 400, "Remove the Bearer prefix").await;
    check(OAUTH_TOKEN, 401, "AUTHENTICATION_ERROR").await;
    check(&format!("Bearer {OAUTH_TOKEN}"), 200, "Todo").await;
    sandbox.world().state().linear.limit.left = 1;
    let (status, left, _) = ask(&sandbox, KEY, ISSUE, json!({"id": "i1"})).await;
    assert_eq!((status, left), (200, 0));
    let (status, _, body) = ask(&sandbox, KEY, ISSUE, json!({"id": "i1"})).await;
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (400, &json!("RATELIMITED")));
}

#[actix_rt::test]
async fn tokens_are_given_to_the_app_alone_and_each_refresh_token_is_good_once() {
    let sandbox = sandbox().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |form: &str| {
        let request = http.post(format!("{}/linear/oauth/token", sandbox.url()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let app = "client_id=sandbox-client&client_secret=sandbox+client%2Fsecret";
    let check = async |form: &str, status: u16, error: &str| {
        let (found, body) = get(form).await;
        assert_eq!((found, body["error"].as_str().unwrap_or_default()), (status, error), "{body}");
    };
    check("grant_type=client_credentials&client_id=sandbox-client&client_secret=x", 401, "invalid_client").await;
    check(&format!("grant_type=client_credentials&{app}"), 400, "invalid_scope").await;
    check(&format!("grant_type=password&{app}"), 400, "unsupported_grant_type").await;
    let refresh = format!("grant_type=refresh_token&refresh_token=lin_refresh_0&{app}");
    let (_, given) = get(&refresh).await;
    check(&refresh, 400, "invalid_grant").await;
    let bearer = format!("Bearer {}", given["access_token"].as_str().unwrap());
    assert_eq!(ask(&sandbox, &bearer, ISSUE, json!({"id": "ENG-1"})).await.0, 200);
    sandbox.world().state().linear.app.tokens[0].1 = 0;
    assert_eq!(ask(&sandbox, &bearer, ISSUE, json!({"id": "ENG-1"})).await.0, 401, "it has ended");
}
