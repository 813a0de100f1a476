//! Expressions and templates, and what they make of a payload: the input is the text, a zero byte, and the payload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman_actors::expression::{Expression, Template, variables};
use pointsman_fuzz::halves;
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| {
    let (text, payload) = halves(data);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let payload: Value = serde_json::from_slice(payload).unwrap_or_else(|_| json!({"a": [1, {"b": "c"}], "d": "e"}));
    let given = json!({ "payload": payload, "input": { "x": "y" } });
    let known = |name: &str| name.split('.').next().is_some_and(|name| matches!(name, "payload" | "input"));
    if let Ok(expression) = Expression::compile(text, &known) {
        let _ = expression.items_of("payload");
        let _ = expression.evaluate_to_json(&variables(&given));
    }
    if let Ok(template) = Template::compile(text, &known) {
        let _ = template.render(&variables(&given));
    }
});
