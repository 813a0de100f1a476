//! Talking to a running server, for the commands that do.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Cli, Target};
use crate::boot::{ADDRESS_FILE, TOKEN_FILE};

/// How long a server may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server, as commands see it.
pub struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::blocking::Client,
}

impl Client {
    /// The server that the command line names, or the one of the data directory.
    pub fn of(cli: &Cli, target: &Target) -> anyhow::Result<Self> {
        let data_dir = cli.load(Vec::new())?.settings.data_dir;
        let base = match &target.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => local_address(&data_dir)?,
        };
        let token = target
            .token
            .clone()
            .or_else(|| std::fs::read_to_string(data_dir.join(TOKEN_FILE)).ok().map(|token| token.trim().to_owned()));
        let http = reqwest::blocking::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        Ok(Self { base, token, http })
    }

    /// `GET` of the operator API.
    pub fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let mut request = self.http.get(format!("{}{path}", self.base)).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response =
            request.send().with_context(|| format!("no answer from {}; is the server running?", self.base))?;
        let status = response.status();
        let body: Value = response.json().context("the answer is not JSON; is this a pointsman server?")?;
        if status.is_success() {
            return Ok(body);
        }
        bail!("{}", body.get("message").and_then(Value::as_str).unwrap_or("the server refused"))
    }

    /// `POST` of a delivery; gives the status and the answer.
    pub fn deliver(&self, path: &str, headers: &[(&str, String)], body: Vec<u8>) -> anyhow::Result<(u16, String)> {
        let mut request = self.http.post(format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response =
            request.send().with_context(|| format!("no answer from {}; is the server running?", self.base))?;
        Ok((response.status().as_u16(), response.text()?))
    }
}

fn local_address(data_dir: &Path) -> anyhow::Result<String> {
    let address = std::fs::read_to_string(data_dir.join(ADDRESS_FILE)).with_context(|| {
        format!("no server runs with the data directory `{}`; start one, or name it with --url", data_dir.display())
    })?;
    // A server that listens everywhere is reached here.
    Ok(format!("http://{}", address.trim().replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")))
}
