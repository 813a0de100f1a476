//! Talking to a running server, for the commands that do.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::blocking::{ClientBuilder, RequestBuilder};
use serde_json::Value;

use super::{Cli, Target, pinned};
use crate::access::token_file;
use crate::boot::{ADDRESS_FILE, CERTIFICATE_FILE};

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
        let settings = cli.load(Vec::new())?.settings;
        let data_dir = settings.data_dir;
        let builder = reqwest::blocking::Client::builder().timeout(PATIENCE).no_proxy();
        let (base, builder) = match &target.url {
            Some(url) => (url.trim_end_matches('/').to_owned(), builder),
            None => local(&data_dir, builder)?,
        };
        let given = target.token.clone().filter(|token| !token.trim().is_empty());
        // The token of the local server is nobody else's business.
        let is_local = target.url.is_none();
        let configured = settings.admin_token.filter(|_| is_local).map(|token| token.expose().to_owned());
        let generated = || {
            let kept = is_local.then(|| std::fs::read_to_string(data_dir.join(token_file::FILE)).ok()).flatten()?;
            Some(kept.trim().to_owned())
        };
        let token = given.or(configured).or_else(generated);
        if token.is_some() && is_overheard(&base) {
            bail!("the token would go over the network for everybody to read; use https:// in --url");
        }
        Ok(Self { base, token, http: builder.build()? })
    }

    /// `GET` of the operator API.
    pub fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.call(self.http.get(format!("{}{path}", self.base)).query(query))
    }

    /// `POST` of the operator API.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(self.http.post(format!("{}{path}", self.base)).json(body))
    }

    fn call(&self, mut request: RequestBuilder) -> anyhow::Result<Value> {
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

    /// A list of the operator API: page after page until there are `limit` items or no more. A page may be
    /// short although more match.
    pub fn list(&self, path: &str, filters: &[(&str, Option<String>)], limit: usize) -> anyhow::Result<Vec<Value>> {
        let filters = filters.iter().filter_map(|(name, value)| Some((*name, value.clone()?)));
        let filters: Vec<(&str, String)> = filters.collect();
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = filters.clone();
            query.push(("limit", (limit - items.len()).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page = self.get(path, &query)?;
            items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
            cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            if items.len() >= limit || cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// `POST` of a delivery; gives the status and the answer.
    pub fn deliver(&self, path: &str, headers: &[(String, String)], body: Vec<u8>) -> anyhow::Result<(u16, String)> {
        let mut request = self.http.post(format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response =
            request.send().with_context(|| format!("no answer from {}; is the server running?", self.base))?;
        Ok((response.status().as_u16(), response.text()?))
    }
}

/// Whether others can read what is sent there.
fn is_overheard(base: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    url.scheme() == "http" && !is_here
}

/// Where the server of this data directory is called, and how it is known.
fn local(data_dir: &Path, builder: ClientBuilder) -> anyhow::Result<(String, ClientBuilder)> {
    let address = std::fs::read_to_string(data_dir.join(ADDRESS_FILE)).with_context(|| {
        format!("no server runs with the data directory `{}`; start one, or name it with --url", data_dir.display())
    })?;
    // A server that listens everywhere is reached here.
    let address = address.trim().replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let Ok(shown) = std::fs::read_to_string(data_dir.join(CERTIFICATE_FILE)) else {
        return Ok((format!("http://{address}"), builder));
    };
    let config = pinned::config(shown.trim().to_owned())?;
    Ok((format!("https://{address}"), builder.tls_backend_preconfigured(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_in_the_clear_only_to_this_machine() {
        for here in ["http://127.0.0.1:3000", "http://[::1]:3000", "http://localhost", "https://example.com"] {
            assert!(!is_overheard(here), "{here}");
        }
        for away in
            ["http://example.com", "http://10.0.0.1:3000", "http://localhost.example.com", "http://[2001:db8::1]"]
        {
            assert!(is_overheard(away), "{away}");
        }
    }
}
