//! What people want done about events of GitHub and Linear. The expressions of routes see it as `settings`.

use serde_json::{Value as Json, json};

use super::settings::{Checker, Pauses};

impl Checker<'_> {
    pub(super) fn pauses(&self) -> Pauses {
        Pauses {
            validation: self.span("github_handler.pr_validation_delay"),
            failure: self.span("github_handler.failure_delay"),
            push: self.span("github_handler.push_delay"),
            requirements: self.span("linear_handler.requirements_delay"),
        }
    }

    pub(super) fn seen_by_routes(&self) -> Json {
        json!({
            "github_handler": {
                "auto_validation": self.flag("github_handler.auto_validation"),
                "auto_update_linear": self.flag("github_handler.auto_update_linear"),
                "auto_fix": self.flag("github_handler.auto_fix"),
            },
            "linear_handler": {
                "auto_codegen": self.flag("linear_handler.auto_codegen"),
                "auto_update_github": self.flag("linear_handler.auto_update_github"),
                "codegen_states": self.list("linear_handler.codegen_states"),
                "completed_states": self.list("linear_handler.completed_states"),
                "app_user_id": self.text("linear_handler.app_user_id").unwrap_or_default(),
                "default_repository": self.text("linear_handler.default_repository").unwrap_or_default(),
            },
        })
    }
}
