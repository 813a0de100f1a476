//! The way to a server that is killed and comes back: whoever asks waits until it has answered.

use std::time::Duration;

use anyhow::{Context, bail};
use pointsman_load::signature;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::sync::watch;

use super::TOKEN;

/// The pause before something is asked again that got no answer.
const PAUSE: Duration = Duration::from_millis(20);

/// Where the server is, or nothing while it is down.
pub type Address = watch::Receiver<Option<String>>;

/// The way to the server.
#[derive(Clone)]
pub struct Door {
    /// The client.
    pub http: Client,
    /// Where the server is.
    pub address: Address,
}

/// A signed delivery.
pub struct Delivery {
    /// The source.
    pub source: &'static str,
    /// Its headers beside the content type.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

impl Delivery {
    /// A `repository_dispatch` of GitHub.
    pub fn of_github(id: &str, body: &Value) -> anyhow::Result<Self> {
        let body = body.to_string();
        let headers = vec![
            ("x-github-event", "repository_dispatch".to_owned()),
            ("x-github-delivery", id.to_owned()),
            ("x-hub-signature-256", signature(body.as_bytes())?),
        ];
        Ok(Self { source: "github", headers, body })
    }

    /// What Codegen says.
    pub fn of_codegen(body: &Value) -> anyhow::Result<Self> {
        let body = body.to_string();
        let headers = vec![("x-codegen-signature", signature(body.as_bytes())?)];
        Ok(Self { source: "codegen", headers, body })
    }
}

impl Door {
    /// Sends a delivery again and again until it is acknowledged; gives the id of its event.
    pub async fn deliver(&self, delivery: &Delivery) -> anyhow::Result<String> {
        let path = format!("/webhooks/{}", delivery.source);
        loop {
            let (status, answer) = self
                .ask(|base| {
                    let request = self.http.post(format!("{base}{path}")).header("content-type", "application/json");
                    let headers = delivery.headers.iter();
                    let request = headers.fold(request, |request, (name, value)| request.header(*name, value));
                    request.body(delivery.body.clone())
                })
                .await?;
            match (status, answer["eventId"].as_str()) {
                (200, Some(event)) => return Ok(event.to_owned()),
                (429 | 503, _) => tokio::time::sleep(PAUSE).await,
                _ => bail!("a delivery was answered {status} {answer}"),
            }
        }
    }

    /// `GET` of the operator API.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        loop {
            match self.ask(|base| self.http.get(format!("{base}{path}")).bearer_auth(TOKEN)).await? {
                (200, answer) => return Ok(answer),
                (503, _) => tokio::time::sleep(PAUSE).await,
                (status, answer) => bail!("GET {path} was answered {status} {answer}"),
            }
        }
    }

    /// All items of a list of the operator API; `query` goes before its cursor.
    pub async fn list(&self, path: &str, query: &str) -> anyhow::Result<Vec<Value>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self.get(&format!("{path}?limit=500{query}{cursor}")).await?;
            all.append(page["items"].as_array_mut().context("a list has items")?);
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// Tells the operator API something, once: whoever gets no answer looks first what became of it.
    pub async fn tell(&self, path: &str, body: &Value) -> anyhow::Result<Option<(u16, Value)>> {
        let base = self.base().await?;
        let request = self.http.post(format!("{base}{path}")).bearer_auth(TOKEN).json(body);
        Ok(answer_of(request).await)
    }

    /// Asks again and again until there is a whole answer: its status and its body.
    async fn ask(&self, request: impl Fn(&str) -> RequestBuilder) -> anyhow::Result<(u16, Value)> {
        loop {
            let base = self.base().await?;
            match answer_of(request(&base)).await {
                Some(answer) => return Ok(answer),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Where the server is, as soon as it is anywhere.
    async fn base(&self) -> anyhow::Result<String> {
        let mut address = self.address.clone();
        let base = address.wait_for(Option::is_some).await.context("there will be no server any more")?;
        base.clone().context("the server is nowhere")
    }
}

async fn answer_of(request: RequestBuilder) -> Option<(u16, Value)> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}
