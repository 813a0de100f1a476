//! Who judges changes: Claude Code as a program, or an agent behind AgentAPI.

use pointsman_actors::executor::failure::Failure;

use super::agentapi::AgentApi;
use super::claude_code::{ClaudeCode, Question};
use super::verdict::Verdict;

/// Whoever is configured.
pub enum Reviewer {
    /// The command, with a process for each question.
    Command(ClaudeCode),
    /// The agent that is there already.
    Agent(AgentApi),
}

impl Reviewer {
    /// Why nobody can be asked, if that is so. Whether an agent is there shows only when it is asked.
    pub fn unavailable(&self) -> Option<String> {
        match self {
            Self::Command(command) => command.unavailable(),
            Self::Agent(_) => None,
        }
    }

    /// Whether it may read the code of a change. An agent has a directory of its own, which is none of ours.
    pub fn reads_code(&self) -> bool {
        match self {
            Self::Command(command) => command.reads_code(),
            Self::Agent(_) => false,
        }
    }

    /// Has a prompt judged.
    pub async fn judge(&self, question: Question<'_>) -> Result<Verdict, Failure> {
        match self {
            Self::Command(command) => command.judge(question).await,
            Self::Agent(agent) => agent.judge(question).await,
        }
    }
}
