//! Check runs, which only an App can make.

use pointsman_actors::executor::failure::Failure;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::Credential;
use super::paths::{part, repository_path};
use super::pulls::read;
use super::{GitHub, Status};

/// Pages of check runs of one name that are read, of a hundred each.
const MOST_PAGES: usize = 3;

#[derive(Deserialize)]
struct CheckRun {
    id: u64,
    #[serde(default)]
    external_id: Option<String>,
}

#[derive(Serialize)]
struct CheckBody<'a> {
    name: &'a str,
    external_id: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_sha: Option<&'a str>,
    output: CheckOutput<'a>,
}

#[derive(Serialize)]
struct CheckOutput<'a> {
    title: &'a str,
    summary: &'a str,
}

impl GitHub {
    /// Says the same as a commit status in a check run, if we are an App; gives its number. The key stands in it, so
    /// that saying it again changes the same one.
    pub async fn set_check(
        &self,
        repository: &str,
        sha: &str,
        status: &Status,
        key: &str,
    ) -> Result<Option<u64>, Failure> {
        if matches!(self.credential, Credential::Token(_)) {
            return Ok(None);
        }
        let (repository, name) = (repository_path(repository)?, &status.context);
        let (progress, conclusion) = match status.state.as_str() {
            "pending" => ("in_progress", None),
            "success" => ("completed", Some("success")),
            _ => ("completed", Some("failure")),
        };
        let said = if status.description.is_empty() { &status.state } else { &status.description };
        let mut body = CheckBody {
            name,
            external_id: key,
            status: progress,
            conclusion,
            details_url: Some(status.target_url.as_str()).filter(|url| !url.is_empty()),
            head_sha: None,
            output: CheckOutput { title: said, summary: said },
        };
        let list = format!(
            "/repos/{repository}/commits/{}/check-runs?check_name={}&filter=all&per_page=100",
            part(sha)?,
            part(name)?
        );
        let runs_of = |mut page: serde_json::Value| serde_json::from_value(page.get_mut("check_runs")?.take()).ok();
        let (runs, _) = self.list_in(&list, MOST_PAGES, runs_of).await?;
        let runs: Vec<CheckRun> = runs.into_iter().map(|run| read(&list, run)).collect::<Result<_, _>>()?;
        let before = runs.iter().find(|run| run.external_id.as_deref() == Some(key));
        let (method, path) = match before {
            Some(run) => (Method::PATCH, format!("/repos/{repository}/check-runs/{}", run.id)),
            None => {
                body.head_sha = Some(sha);
                (Method::POST, format!("/repos/{repository}/check-runs"))
            }
        };
        let set: CheckRun = self.write(method, &path, &json!(body), key).await?;
        Ok(Some(set.id))
    }
}
