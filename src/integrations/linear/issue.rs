//! Linear's things, as far as steps see them.

use serde::{Deserialize, Serialize};

use crate::sources::is_codegen;

/// A ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Issue {
    /// Its id.
    pub id: String,
    /// What people call it, such as `ENG-45`.
    pub identifier: String,
    /// Its title.
    pub title: String,
    /// What is to be done, in Markdown.
    pub description: Option<String>,
    /// Where people see it.
    pub url: String,
    /// The branch that Linear suggests.
    pub branch_name: String,
    /// 0 none, 1 urgent, 2 high, 3 medium, 4 low.
    pub priority: f64,
    /// Points of the team's scale.
    pub estimate: Option<f64>,
    /// Where it stands.
    pub state: State,
    /// Who does it.
    pub assignee: Option<Person>,
    /// The agent that it is delegated to.
    pub delegate: Option<Person>,
    /// Whose it is; a ticket can be without a team for a moment.
    pub team: Option<Team>,
    /// The project that it belongs to.
    pub project: Option<Named>,
    /// Its labels.
    pub labels: Nodes<Named>,
    /// What is attached to it.
    pub attachments: Nodes<Attachment>,
}

/// A state of a team's workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its id.
    pub id: String,
    /// What the team calls it.
    pub name: String,
    /// `triage`, `backlog`, `unstarted`, `started`, `completed`, `canceled` or `duplicate`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its place among the others of the team.
    pub position: f64,
}

impl State {
    /// Whether a ticket that stands there is over.
    pub fn is_over(&self) -> bool {
        ["completed", "canceled", "duplicate"].contains(&self.kind.as_str())
    }
}

/// Somebody, or an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// Its id.
    pub id: String,
    /// What its tickets begin with, such as `ENG`.
    pub key: String,
    /// Its name.
    pub name: String,
}

/// Something with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A link at a ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: String,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Where it leads; one ticket has one attachment for an address.
    pub url: String,
    /// Who has attached it; nobody, if that was an integration.
    #[serde(default)]
    pub creator: Option<Creator>,
}

/// Who has attached something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Creator {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// Whether it is whoever our credential belongs to.
    pub is_me: bool,
}

impl Attachment {
    /// Whether we or Codegen have attached it.
    pub fn is_ours(&self) -> bool {
        let is_ours = |by: &Creator| by.is_me || is_codegen(&by.name) || is_codegen(&by.email);
        self.creator.as_ref().is_some_and(is_ours)
    }
}

impl Person {
    /// Whether it is Codegen, by name or e-mail address.
    pub fn is_codegen(&self) -> bool {
        is_codegen(&self.name) || self.email.as_deref().is_some_and(is_codegen)
    }
}

/// The first things of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes<T> {
    /// They.
    pub nodes: Vec<T>,
}

/// Where a ticket stands, and where it could go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Standing {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub identifier: String,
    /// Where people see it.
    pub url: String,
    /// Its state.
    pub state: State,
    /// Its team's states of the type that was asked for.
    pub team: Option<TeamStates>,
}

/// States of a team.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TeamStates {
    /// The team's key.
    pub key: String,
    /// Its states.
    pub states: Nodes<State>,
}

/// Something that was written, or was there already.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Made {
    /// Its id.
    pub id: String,
    /// Where people see it; of an activity nobody says.
    #[serde(default)]
    pub url: Option<String>,
}
