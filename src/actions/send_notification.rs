//! `send_notification`: tells the team. A message that may have been sent is not sent again.

use std::sync::Arc;

use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde_json::json;

use super::ports::Channel;
use super::with::With;
use crate::integrations::slack::Slack;

static INFO: ActionInfo = ActionInfo {
    name: "send_notification",
    class: EffectClass::Once,
    on_doubt: OnDoubt::AssumeDone,
    parameters: &[Parameter { name: "text", accepts: Accepts::Text, default: None }],
    timeout: None,
    waits: None,
    services: &["slack"],
};

/// The action.
pub struct SendNotification<C = Slack> {
    slack: Option<Arc<C>>,
}

impl<C> SendNotification<C> {
    /// Through this channel; without one nobody is told, and the step says so.
    pub fn new(slack: Option<Arc<C>>) -> Self {
        Self { slack }
    }
}

impl<C: Channel> Action for SendNotification<C> {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let slack = self.slack.clone();
        Box::pin(async move {
            let text = With(&attempt.with).text("text")?;
            let Some(slack) = slack else {
                let reason = "no notification target is configured; set SLACK_WEBHOOK_URL";
                return Ok(Success::Done(json!({ "sent": false, "reason": reason })));
            };
            slack.post(&text, &attempt.key).await?;
            Ok(Success::Done(json!({ "sent": true })))
        })
    }
}
