//! What the configuration allows steps that call anybody or run anything. Nothing is allowed that it does
//! not name.

use std::path::Path;

use super::settings::Checker;
use crate::integrations::GenericSettings;
use crate::integrations::secrets::Secrets;

impl Checker<'_> {
    pub(super) fn generic(&mut self) -> GenericSettings {
        GenericSettings {
            commands: self.commands(),
            allow_shell: self.flag("workflow.allow_shell"),
            allow_private_addresses: self.networks("workflow.allow_private_addresses"),
            secrets: self.secrets(),
        }
    }

    /// Names and absolute paths: a relative one would mean another program wherever we are started.
    fn commands(&mut self) -> Vec<String> {
        let commands = self.list("workflow.commands");
        for command in commands.iter().filter(|command| command.contains('/') && !command.starts_with('/')) {
            let reason =
                format!("`{command}` is neither a name nor an absolute path; give one such as git or /usr/bin/git");
            self.wrong("workflow.commands", reason);
        }
        commands
    }

    fn secrets(&mut self) -> Secrets {
        let Some(directory) = self.text("workflow.secrets_dir") else { return Secrets::default() };
        Secrets::read(Path::new(&directory)).unwrap_or_else(|reason| {
            self.wrong("workflow.secrets_dir", reason);
            Secrets::default()
        })
    }
}
