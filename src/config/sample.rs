//! The file that shows every key with its default.

use super::keys::{GENERIC_KEYS, KEYS, SOURCE_KEYS, TARGET_KEYS, TOKEN_KEYS, needs_restart};

/// The whole table as a commented file with every default: what `config.toml` holds.
pub fn sample() -> String {
    let mut text = String::from(
        "# pointsman: every key with its default. A key that is unset by default stands as a comment.\n\
         # Each can be set by the variable beside it; the environment overrides this file.\n\
         # `pointsman reload` puts changes in force, but those that count after a restart.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (head, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if head != section {
            section = head;
            text.push_str(&format!("\n[{section}]\n"));
        }
        let variable = key.variables.first().map(|name| format!(" ({name})")).unwrap_or_default();
        let line = if key.default.is_empty() { format!("# {name} =") } else { format!("{name} = {}", key.default) };
        let when = if needs_restart(key.path) { "; counts after a restart" } else { "" };
        text.push_str(&format!("# {}{when}{variable}\n{line}\n", key.about));
    }
    text.push_str("\n# A source is on when it has a secret. The keys are the same for linear, codegen and claude-code.\n[webhooks.github]\n");
    for (name, variable, _, about) in SOURCE_KEYS {
        let variable = variable.replace("{SOURCE}", "GITHUB");
        let variable = if variable.is_empty() { variable } else { format!(" ({variable})") };
        text.push_str(&format!("# {about}{variable}\n# {name} =\n"));
    }
    text.push_str(SAMPLE_OF_TOKENS);
    for (name, _, _, about) in TOKEN_KEYS {
        text.push_str(&format!("# {about}\n# {name} =\n"));
    }
    text.push_str(SAMPLE_OF_SOURCES);
    for (name, _, about) in GENERIC_KEYS {
        text.push_str(&format!("# {about}\n# {name} =\n"));
    }
    text.push_str(SAMPLE_OF_TARGETS);
    for (name, variable, _, about) in TARGET_KEYS {
        let variable = variable.replace("{TARGET}", "OPS");
        let variable = if variable.is_empty() { variable } else { format!(" ({variable})") };
        text.push_str(&format!("# {about}{variable}\n# {name} =\n"));
    }
    text
}

const SAMPLE_OF_TOKENS: &str = "\n# Tokens of the operator API beside the one above, a table for each; its name stands in the log beside what is done with it.\n\
     # [admin.tokens.ci]\n";
const SAMPLE_OF_SOURCES: &str =
    "\n# A source of your own, by any name; beside these it has the keys of the others.\n# [webhooks.shop]\n";

const SAMPLE_OF_TARGETS: &str = "\n# Where notifications go, a table for each target; its name is what steps write in `targets`.\n\
     # [integrations.notifications.ops]\n";
