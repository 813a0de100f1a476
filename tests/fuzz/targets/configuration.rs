//! The configuration's file, from its bytes to settings. Files that it names are not read here.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use pointsman::config::{DEFAULT_FILE, Merged, Settings};

/// What would have something else read.
const ELSEWHERE: [&str; 4] = ["file", "credential", "certificate", "_dir"];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if ELSEWHERE.iter().any(|word| text.contains(word)) || text.contains('\\') {
        return;
    }
    let (merged, mut problems) = Merged::merge((DEFAULT_FILE, text), &BTreeMap::new(), &[]);
    let settings = Settings::check(&merged, 2, &mut problems);
    assert!(settings.is_none() || problems.is_empty(), "what is wrong cannot be used");
    assert!(settings.is_some() || !problems.is_empty(), "what cannot be used is wrong for a reason");
    for problem in &problems {
        assert!(!problem.to_string().is_empty());
    }
    for (key, value, _) in merged.listing() {
        let is_secret = key.ends_with(".secret") || key.ends_with("token") || key.ends_with(".secrets");
        assert!(!is_secret || value == "***", "{key} = {value}");
    }
});
