//! What the configuration says of Codegen.

use super::settings::Checker;
use crate::integrations::codegen::CodegenSettings;

impl Checker<'_> {
    pub(super) fn codegen(&mut self) -> CodegenSettings {
        let organization = self.text("integrations.codegen.org_id").map(|text| text.trim().parse());
        if organization.as_ref().is_some_and(Result::is_err) {
            self.wrong("integrations.codegen.org_id", "it is the number of the organisation, such as 323".to_owned());
        }
        for path in ["integrations.codegen.timeout", "integrations.codegen.poll_interval"] {
            if self.span(path).is_zero() {
                self.wrong(path, "must be longer than nothing".to_owned());
            }
        }
        CodegenSettings {
            api_url: self.url("integrations.codegen.api_url").unwrap_or_default().expose().to_owned(),
            api_token: self.credential("integrations.codegen.api_token"),
            organization: organization.and_then(Result::ok),
            timeout: self.span("integrations.codegen.timeout"),
            poll_interval: self.span("integrations.codegen.poll_interval"),
        }
    }
}
