//! What a step hands over: fixed values with templates in them, compiled when they are loaded.

use minijinja::Value;
use serde_json::Value as Json;

use crate::expression::{ExpressionError, Template};

/// Whether a value is a text with a template in it.
pub fn is_template(value: &Json) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{") || text.contains("{%"))
}

/// Whether there is one anywhere in it.
pub fn has_templates(value: &Json) -> bool {
    match value {
        Json::Array(items) => items.iter().any(has_templates),
        Json::Object(fields) => fields.values().any(has_templates),
        single => is_template(single),
    }
}

/// A value with templates in it.
#[derive(Debug)]
pub enum Recipe {
    /// Always the same.
    Fixed(Json),
    /// Filled in.
    Template(Template),
    /// A list of such.
    List(Vec<Recipe>),
    /// An object of such.
    Object(Vec<(String, Recipe)>),
}

impl Recipe {
    /// Compiles `value`, whose templates may name only the variables in `allowed`.
    pub fn compile(value: &Json, allowed: &dyn Fn(&str) -> bool) -> Result<Self, ExpressionError> {
        Ok(match value {
            Json::String(text) if is_template(value) => Self::Template(Template::compile(text, allowed)?),
            Json::Array(items) => {
                Self::List(items.iter().map(|item| Self::compile(item, allowed)).collect::<Result<_, _>>()?)
            }
            Json::Object(fields) => {
                let compile = |(name, value): (&String, &Json)| Ok((name.clone(), Self::compile(value, allowed)?));
                Self::Object(fields.iter().map(compile).collect::<Result<_, ExpressionError>>()?)
            }
            fixed => Self::Fixed(fixed.clone()),
        })
    }

    /// Fills it in.
    pub fn render(&self, variables: &Value) -> Result<Json, ExpressionError> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Template(template) => template.render(variables)?,
            Self::List(items) => {
                Json::Array(items.iter().map(|item| item.render(variables)).collect::<Result<_, _>>()?)
            }
            Self::Object(fields) => {
                let render = |(name, value): &(String, Self)| Ok((name.clone(), value.render(variables)?));
                Json::Object(fields.iter().map(render).collect::<Result<_, ExpressionError>>()?)
            }
        })
    }

    /// The value, when it is always the same.
    pub fn fixed(&self) -> Option<&Json> {
        match self {
            Self::Fixed(value) => Some(value),
            Self::Template(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_are_filled_in_wherever_they_stand() {
        let value = json!({"a": ["{{ input.n }}", 1], "b": "n is {{ input.n }}", "c": true});
        let recipe = Recipe::compile(&value, &|name| name == "input.n").unwrap();
        let filled = recipe.render(&context!(input => context!(n => 7))).unwrap();
        assert_eq!(filled, json!({"a": [7, 1], "b": "n is 7", "c": true}));
        assert!(Recipe::compile(&json!("{{ input.m }}"), &|name| name == "input.n").is_err());
    }
}
