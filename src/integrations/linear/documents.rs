//! What is asked of Linear: a document of GraphQL each, in a file of its own. The tests hold every one of them
//! against Linear's published schema.

/// A document with one operation.
#[derive(Clone, Copy, Debug)]
pub struct Document {
    /// The name of its operation; also how a failure names the call.
    pub name: &'static str,
    /// Whether it changes anything: then nobody knows what became of it when no answer comes.
    pub changes: bool,
    /// What is sent.
    pub text: &'static str,
}

const fn query(name: &'static str, text: &'static str) -> Document {
    Document { name, changes: false, text }
}

const fn mutation(name: &'static str, text: &'static str) -> Document {
    Document { name, changes: true, text }
}

/// A ticket.
pub const ISSUE: Document = query("Issue", include_str!("documents/issue.graphql"));
/// Where a ticket stands, and the states of one type that its team has.
pub const ISSUE_STATES: Document = query("IssueStates", include_str!("documents/issue_states.graphql"));
/// Somebody.
pub const USER: Document = query("User", include_str!("documents/user.graphql"));
/// Changes a ticket.
pub const ISSUE_UPDATE: Document = mutation("IssueUpdate", include_str!("documents/issue_update.graphql"));
/// Writes a comment.
pub const COMMENT_CREATE: Document = mutation("CommentCreate", include_str!("documents/comment_create.graphql"));
/// A comment.
pub const COMMENT: Document = query("Comment", include_str!("documents/comment.graphql"));
/// Attaches a link to a ticket; one of the same address takes its place.
pub const ATTACHMENT_CREATE: Document =
    mutation("AttachmentCreate", include_str!("documents/attachment_create.graphql"));
/// Attaches a pull request of GitHub, which the ticket then follows.
pub const ATTACHMENT_LINK_GITHUB_PR: Document =
    mutation("AttachmentLinkGitHubPR", include_str!("documents/attachment_link_github_pr.graphql"));
/// Says something in an agent's session.
pub const AGENT_ACTIVITY_CREATE: Document =
    mutation("AgentActivityCreate", include_str!("documents/agent_activity_create.graphql"));
/// What was said in an agent's session.
pub const AGENT_ACTIVITY: Document = query("AgentActivity", include_str!("documents/agent_activity.graphql"));
/// Changes an agent's session.
pub const AGENT_SESSION_UPDATE: Document =
    mutation("AgentSessionUpdate", include_str!("documents/agent_session_update.graphql"));

/// All of them: nothing else is sent to Linear.
pub const ALL: [Document; 11] = [
    ISSUE,
    ISSUE_STATES,
    USER,
    ISSUE_UPDATE,
    COMMENT_CREATE,
    COMMENT,
    ATTACHMENT_CREATE,
    ATTACHMENT_LINK_GITHUB_PR,
    AGENT_ACTIVITY_CREATE,
    AGENT_ACTIVITY,
    AGENT_SESSION_UPDATE,
];
