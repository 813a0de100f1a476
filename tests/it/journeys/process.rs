//! The real program: how it starts, how it ends, and what it finds when it was killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use futures_util::future::join_all;
use pointsman::integrations::process::members;
use pointsman_sandbox::claude::Plan;
use pointsman_sandbox::{FaultKind, Sandbox};
use serde_json::Value;

use crate::server::{SECRET, TOKEN, sign, until};
use crate::site::{REPOSITORY, environment, pull_request, words};

/// A running program on a data directory of a test's own.
pub struct Program {
    child: Child,
    base: String,
    http: reqwest::Client,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(data: &Path, more: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(data);
    for (name, value) in [("POINTSMAN_ADMIN_TOKEN", TOKEN), ("GITHUB_WEBHOOK_SECRET", SECRET)] {
        command.env(name, value);
    }
    command.env("POINTSMAN_DATA_DIR", data).envs(more.iter().map(|(name, value)| (*name, value)));
    command
}

impl Program {
    pub async fn start(data: &Path, more: &[(&str, String)]) -> Self {
        Self::start_logging(data, more, Stdio::null()).await
    }

    /// The same on this port.
    pub async fn start_on(data: &Path, more: &[(&str, String)], port: u16) -> Self {
        Self::start_as(data, more, (Stdio::null(), port)).await
    }

    /// On any port, and what it logs goes there.
    pub async fn start_logging(data: &Path, more: &[(&str, String)], log: Stdio) -> Self {
        Self::start_as(data, more, (log, 0)).await
    }

    async fn start_as(data: &Path, more: &[(&str, String)], (log, port): (Stdio, u16)) -> Self {
        let mut serve = command(data, more);
        serve.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]).stderr(log);
        Self::spawn(data, serve).await
    }

    /// The same for a user whose files everybody may write.
    pub async fn start_careless(data: &Path, more: &[(&str, String)], log: Stdio) -> Self {
        let plain = command(data, more);
        let mut serve = Command::new("/bin/sh");
        serve.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(data);
        serve.args(["-c", "umask 0; exec \"$0\" serve --host 127.0.0.1 --port 0"]).arg(plain.get_program()).stderr(log);
        Self::spawn(data, serve).await
    }

    async fn spawn(data: &Path, mut serve: Command) -> Self {
        let address = data.join("server.addr");
        let _ = std::fs::remove_file(&address);
        let child = serve.stdin(Stdio::null()).spawn().unwrap();
        until("the program to listen", async || address.exists()).await;
        let base = format!("http://{}", std::fs::read_to_string(&address).unwrap());
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { child, base, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Its process number, and where it listens.
    pub fn who(&self) -> (u32, &str) {
        (self.child.id(), &self.base)
    }

    pub async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(TOKEN);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn deliver(&self, event: &str, delivery: &str, body: &str) -> reqwest::Result<reqwest::Response> {
        let request =
            self.http.post(format!("{}/webhooks/github", self.base)).header("content-type", "application/json");
        let request = request.header("x-github-event", event).header("x-github-delivery", delivery);
        request.header("x-hub-signature-256", sign(body.as_bytes())).body(body.to_owned()).send().await
    }

    /// Tells of a pull request and gives the run that this starts.
    pub async fn validate(&self, sandbox: &Sandbox, number: u64) -> String {
        sandbox.world().put_pull(crate::site::pull(number, "a1", "+x\n"));
        let body = pull_request("opened", number, ("a1", None), "2026-01-05T10:00:00Z").to_string();
        self.run_of("pull_request", &format!("d{number}"), &body).await
    }

    /// The run that a delivery starts.
    pub async fn run_of(&self, event: &str, delivery: &str, body: &str) -> String {
        let answer: Value = self.deliver(event, delivery, body).await.unwrap().json().await.unwrap();
        let event = answer["eventId"].as_str().unwrap();
        self.get(&format!("/api/v1/events/{event}/status")).await["runs"][0].as_str().unwrap().to_owned()
    }

    pub async fn until(&self, run: &str, status: &str) -> Value {
        let mut shown = Value::Null;
        until(&format!("{run} to be {status}"), async || {
            shown = self.get(&format!("/api/v1/runs/{run}")).await;
            shown["status"] == status
        })
        .await;
        shown
    }

    /// Ends it without a goodbye.
    pub fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

#[actix::test]
async fn what_a_killed_process_left_running_is_ended_and_its_step_repeated() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    sandbox.world().state().claude_next.push(Plan { delay_ms: 120_000, leaves_a_child: true, ..Plan::default() });
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let run = server.validate(&sandbox, 12).await;
    sandbox.world().wait_for_calls(1, |call| call.service == "claude").await.unwrap();
    let noted = server.get(&format!("/api/v1/runs/{run}")).await;
    let [place, program] = notes(&noted).try_into().unwrap();
    let place = Path::new(place["directory"].as_str().unwrap()).to_owned();
    let group = u32::try_from(program["process"]["pid"].as_u64().unwrap()).unwrap();
    until("its program to have started another", async || members(group).count() >= 2).await;
    server.kill();
    assert!(members(group).count() >= 2, "they outlive the process that was killed");
    assert!(place.join("code/README.md").exists(), "and so does the code that they judge");
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let ended = server.until(&run, "succeeded").await;
    assert!(words(&ended).contains(&"validate_pr interrupted".to_owned()), "{ended:#}");
    until("nothing of it to be left", async || members(group).count() == 0 && !place.exists()).await;
    assert_eq!(sandbox.world().statuses(REPOSITORY, "a1").len(), 1);
}

/// What the attempts of a run have left in their notebooks, oldest first.
fn notes(run: &Value) -> Vec<Value> {
    let noted = run["journal"].as_array().unwrap().iter().filter(|entry| entry["entry"] == "noted");
    noted.map(|entry| entry["note"].clone()).collect()
}

#[actix::test]
async fn code_that_a_killed_process_was_fetching_is_removed() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    sandbox.world().plan_once("codeload", "GET", "", FaultKind::HoldAnswer(600_000));
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let run = server.validate(&sandbox, 12).await;
    sandbox.world().wait_for_calls(1, |call| call.service == "codeload").await.unwrap();
    let [place] = notes(&server.get(&format!("/api/v1/runs/{run}")).await).try_into().unwrap();
    let place = Path::new(place["directory"].as_str().unwrap()).to_owned();
    server.kill();
    assert!(place.join("code").exists());
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let ended = server.until(&run, "succeeded").await;
    let left: Vec<Value> = notes(&ended).into_iter().map(|note| note["directory"].clone()).collect();
    let left: Vec<Value> = left.into_iter().filter(Value::is_string).collect();
    let is_left = |place: &Value| place.as_str().is_some_and(|place| Path::new(place).exists());
    assert!(left.len() == 2 && !left.iter().any(is_left) && !place.exists(), "{left:?}");
}

#[actix::test]
async fn a_message_whose_answer_died_with_the_process_is_not_sent_again() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    sandbox.world().plan_once("slack", "POST", "", FaultKind::HoldAnswer(600_000));
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let run = server.validate(&sandbox, 12).await;
    sandbox.world().wait_for_calls(1, |call| call.service == "slack").await.unwrap();
    server.kill();
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let ended = server.until(&run, "succeeded").await;
    assert!(ended["journal"].to_string().contains("\"assumed\":true"), "nobody knows, and it says so: {ended:#}");
    assert_eq!(sandbox.world().notifications().len(), 1);
}

#[actix::test]
async fn a_status_whose_answer_died_with_the_process_is_set_again() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    sandbox.world().plan_once("github", "POST", "/statuses/", FaultKind::HoldAnswer(600_000));
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let run = server.validate(&sandbox, 12).await;
    sandbox.world().wait_for_calls(1, |call| call.path.contains("/statuses/")).await.unwrap();
    server.kill();
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    server.until(&run, "succeeded").await;
    let statuses = sandbox.world().statuses(REPOSITORY, "a1");
    assert_eq!((statuses.len(), &statuses[0].state), (2, &statuses[1].state), "the same twice is as once");
}

#[actix::test]
async fn sigterm_under_load_ends_in_order_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Program::start(data.path(), &[]).await;
    let (http, base) = (server.http.clone(), server.base.clone());
    let acknowledged = std::sync::Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (http, base, acknowledged) = (http.clone(), base.clone(), std::sync::Arc::clone(&acknowledged));
            actix_rt::spawn(async move {
                for number in 0.. {
                    let (delivery, body) = (format!("{client}-{number}"), "{}");
                    let request =
                        http.post(format!("{base}/webhooks/github")).header("content-type", "application/json");
                    let request = request.header("x-github-event", "push").header("x-github-delivery", &delivery);
                    let request = request.header("x-hub-signature-256", sign(body.as_bytes())).body(body);
                    let Ok(answer) = request.send().await else { return };
                    match answer.status().as_u16() {
                        200 => {
                            let answer: Value = answer.json().await.unwrap();
                            acknowledged
                                .lock()
                                .unwrap()
                                .insert(delivery, answer["eventId"].as_str().unwrap().to_owned());
                        }
                        503 => return,
                        other => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    until("load", async || acknowledged.lock().unwrap().len() > 200).await;
    let status = actix_web::web::block(move || server.terminate()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    for client in clients {
        client.await.unwrap();
    }
    let server = Program::start(data.path(), &[]).await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    for (delivery, event) in &acknowledged {
        let again: Value = server.deliver("push", delivery, "{}").await.unwrap().json().await.unwrap();
        assert_eq!((again["status"].as_str(), again["eventId"].as_str()), (Some("duplicate"), Some(event.as_str())));
    }
}

/// Runs the program's command with the data directory of a server that runs.
pub fn run(data: &Path, arguments: &[&str], more: &[(&str, &str)]) -> Output {
    let more: Vec<(&str, String)> = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    command(data, &more).args(arguments).output().unwrap()
}

/// Starts a server that is expected not to start, and gives its exit code and what it said.
async fn refusal(data: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut more = vec![("WEBHOOK_HOST", "127.0.0.1".to_owned()), ("WEBHOOK_PORT", "0".to_owned())];
    more.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let mut child = command(data, &more).arg("serve").stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut ended = None;
    until("the program to end, or to listen", async || {
        ended = child.try_wait().unwrap();
        ended.is_some() || data.join("server.addr").exists()
    })
    .await;
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    (ended.and_then(|status| status.code()), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[actix::test]
async fn it_refuses_to_start_with_what_cannot_be_used_and_says_what() {
    let check = async |toml: &str, variables: &[(&str, &str)], expect: &str| {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("config.toml"), toml).unwrap();
        let (code, said) = refusal(data.path(), variables).await;
        assert_eq!(code, Some(1), "{toml} {variables:?}: {said}");
        assert!(said.contains(expect), "{toml} {variables:?}: {said}");
        assert!(!said.contains(SECRET) && !said.contains("hunter2"), "{said}");
    };
    check("[sever]\nport = 1", &[], "did you mean `server`").await;
    check("", &[("POINTSMAN_DATADIR", "x")], "POINTSMAN_DATA_DIR").await;
    check("", &[("WEBHOOK_PORT", "eighty")], "eighty").await;
    check("", &[("LOG_LEVEL", "inof")], "`inof` is not a level").await;
    check("", &[("GITHUB_API_URL", "api.github.com")], "integrations.github.api_url").await;
    check("", &[("SLACK_WEBHOOK_URL", "hooks.slack.com/hunter2")], "integrations.slack.webhook_url").await;
    check("", &[("GITHUB_TOKEN", "hunter2 hunter2")], "integrations.github.token").await;
    check("", &[("WEBHOOK_VALIDATOR_ALLOWED_IPS", "github.com")], "validator.allowed_ips").await;
    check("", &[("CODEGEN_WEBHOOK_SECRET", "whsec_hunter2!")], "webhooks.codegen.secret").await;
    check("", &[("POINTSMAN_ADMIN_TOKEN", " ")], "admin.token").await;
    check("[webhooks.linear]\nenabled = true", &[], "LINEAR_WEBHOOK_SECRET").await;
    check("[webhooks.linear]\nallow_unsigned = true", &[("WEBHOOK_HOST", "0.0.0.0")], "loopback").await;
    check("[webhooks.github]\nmax_body = 0", &[], "webhooks.github.max_body").await;
    check(
        "",
        &[("POINTSMAN_DATA_DIR", "/proc/nowhere")],
        "the data directory `/proc/nowhere` cannot be made; set `server.data_dir`",
    )
    .await;
}

#[actix::test]
async fn operators_say_it_on_the_command_line() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    let mut slow = environment(&sandbox);
    slow.push(("GITHUB_HANDLER_PR_VALIDATION_DELAY", "60000".to_owned()));
    let server = Program::start(data.path(), &slow).await;
    let id = server.validate(&sandbox, 12).await;
    let directory = data.path().to_owned();
    let say = async |arguments: &[&str]| {
        let (directory, id) = (directory.clone(), id.clone());
        let mut line: Vec<String> = ["runs", arguments[0], &id].map(str::to_owned).into();
        line.extend(arguments[1..].iter().map(|argument| (*argument).to_owned()));
        let output =
            actix_web::web::block(move || run(&directory, &line.iter().map(String::as_str).collect::<Vec<_>>(), &[]));
        let output = output.await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    for (arguments, fine, expect) in [
        (&["pause"][..], true, "paused"),
        (&["resume"], true, "pr_validation"),
        (&["cancel", "--reason", "not needed"], true, "cancelled  not needed"),
        (&["cancel"], false, "it is over"),
        (&["restart", "--step", "sing"], false, "there is no step `sing`"),
        (&["restart", "--step", "delay"], true, "pr_validation"),
        (&["decide", "repeat"], false, "no step is in doubt"),
        (&["decide", "perhaps"], false, "repeat, done, fail"),
        (&["show"], true, "restarted; done again: delay, validate_pr, update_pr_status, send_notification"),
    ] {
        let (is_fine, said) = say(arguments).await;
        assert!(is_fine == fine && said.contains(expect), "{arguments:?}: {said}");
    }
}

#[actix::test]
async fn the_command_line_reads_page_after_page() {
    let data = tempfile::tempdir().unwrap();
    let server = Program::start(data.path(), &[]).await;
    let answers = join_all(
        (0..520).map(async |number| server.deliver("push", &format!("d{number}"), "{}").await.unwrap().status()),
    );
    assert!(answers.await.iter().all(|status| *status == 200));
    let directory = data.path().to_owned();
    let listed = move |limit: &str| {
        let output = run(&directory, &["events", "list", "--json", "--limit", limit], &[]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap().len()
    };
    let counts = actix_web::web::block(move || [listed("3"), listed("510"), listed("600")]).await.unwrap();
    assert_eq!(counts, [3, 510, 520], "a page has 500 at most");
}
