//! Expressions of routes and workflows: Jinja, compiled when the definition is loaded.
//!
//! An expression sees only what it is given and cannot change, load or call anything outside. Its
//! work is bounded, so that no rule can hold up intake.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::machinery::{self, CodeGenerator, Instruction, Instructions, Token};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Expression as Compiled, UndefinedBehavior, Value};

/// How many instructions one evaluation may take: far above any rule that a person writes, far below
/// what a sender would notice.
const FUEL: u64 = 50_000;

/// What every expression is compiled in: constant, so that compiled expressions can be kept anywhere.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::new();
    // `facts.head_order.updated_at` of an event without a head is undefined, hence false, not an error.
    language.set_undefined_behavior(UndefinedBehavior::Chainable);
    language.set_fuel(Some(FUEL));
    language.add_filter("times", times);
    language
});

/// A number, so many times. `*` of the language repeats texts and lists as well, up to a hundred million times in one instruction.
fn times(number: &Value, factor: &Value) -> Result<Value, minijinja::Error> {
    let wrong = |reason| minijinja::Error::new(ErrorKind::InvalidOperation, reason);
    let whole = |value: &Value| i64::try_from(value.clone()).ok().filter(|_| value.is_integer());
    if let Some((number, factor)) = whole(number).zip(whole(factor)) {
        return number.checked_mul(factor).map(Value::from).ok_or_else(|| wrong("the number is too large"));
    }
    let float = |value: &Value| f64::try_from(value.clone()).ok().filter(|_| value.is_number());
    let (number, factor) = float(number).zip(float(factor)).ok_or_else(|| wrong("`times` is for numbers"))?;
    Ok(Value::from(number * factor))
}

/// A compiled expression.
pub struct Expression {
    text: String,
    compiled: Compiled<'static, 'static>,
}

/// What expressions see, from JSON: an object with a field for each variable.
pub fn variables(json: &serde_json::Value) -> Value {
    Value::from(Serde(json))
}

/// Why an expression does not compile or evaluate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {reason}")]
pub struct ExpressionError {
    text: String,
    reason: String,
}

impl Expression {
    /// Compiles `text`, which may name only the variables in `allowed`: whole names (`payload`), or
    /// with a dot what an object has (`facts.title`).
    pub fn compile(text: &str, allowed: &dyn Fn(&str) -> bool) -> Result<Self, ExpressionError> {
        let wrong = |reason: String| ExpressionError { text: text.to_owned(), reason };
        repeats(text, true).map_or(Ok(()), |repeats| Err(wrong(repeats)))?;
        let compiled = LANGUAGE.compile_expression_owned(text.to_owned()).map_err(|error| wrong(describe(&error)))?;
        let parsed = machinery::parse_expr(text).map_err(|error| wrong(describe(&error)))?;
        let mut generator = CodeGenerator::new("", text);
        generator.compile_expr(&parsed);
        unknown_helper(&generator.finish().0).map_or(Ok(()), |unknown| Err(wrong(unknown)))?;
        let names: BTreeSet<String> = compiled.undeclared_variables(true).into_iter().collect();
        if let Some(unknown) = names.iter().find(|name| !allowed(name)) {
            return Err(wrong(format!("`{unknown}` is not known here")));
        }
        Ok(Self { text: text.to_owned(), compiled })
    }

    /// Whether it names `variable`, or something in it.
    pub fn names(&self, variable: &str) -> bool {
        self.compiled.undeclared_variables(false).contains(variable)
    }

    /// The names by which it looks something up in `variable`, as in `headers['x-a']` or `headers.host`; nothing when it
    /// uses the variable in another way, so that nobody can say what it looks at.
    pub fn items_of(&self, variable: &str) -> Option<BTreeSet<String>> {
        let parsed = machinery::parse_expr(&self.text).ok()?;
        let mut generator = CodeGenerator::new("", &self.text);
        generator.compile_expr(&parsed);
        let instructions = generator.finish().0;
        let all: Vec<&Instruction<'_>> = (0..).map_while(|index| instructions.get(index)).collect();
        let after =
            all.iter().enumerate().filter(|(_, one)| matches!(one, Instruction::Lookup(name) if *name == variable));
        after
            .map(|(at, _)| match (all.get(at + 1), all.get(at + 2)) {
                (Some(Instruction::GetAttr(name)), _) => Some((*name).to_owned()),
                (Some(Instruction::LoadConst(name)), Some(Instruction::GetItem)) => name.as_str().map(str::to_owned),
                _ => None,
            })
            .collect()
    }

    /// Evaluates it.
    pub fn evaluate(&self, variables: &Value) -> Result<Value, ExpressionError> {
        self.compiled
            .eval(variables.clone())
            .map_err(|error| ExpressionError { text: self.text.clone(), reason: describe(&error) })
    }

    /// Evaluates it to JSON; what is undefined is `null`.
    pub fn evaluate_to_json(&self, variables: &Value) -> Result<serde_json::Value, ExpressionError> {
        let value = self.evaluate(variables)?;
        if value.is_undefined() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::to_value(&value)
            .map_err(|error| ExpressionError { text: self.text.clone(), reason: error.to_string() })
    }
}

/// A compiled template: text with expressions in it, or one expression whose value keeps its type.
#[derive(Debug)]
pub struct Template(Form);

#[derive(Debug)]
enum Form {
    /// `{{ expression }}` and nothing else.
    Value(Expression),
    /// Anything else; rendered from its source, which was checked.
    Text(String),
}

impl Template {
    /// Compiles `text`, which may name only the variables in `allowed`, as in [`Expression::compile`].
    pub fn compile(text: &str, allowed: &dyn Fn(&str) -> bool) -> Result<Self, ExpressionError> {
        let whole = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        if let Some(expression) = whole.filter(|inside| !inside.contains("{{") && !inside.contains("}}")) {
            return Expression::compile(expression.trim(), allowed).map(|expression| Self(Form::Value(expression)));
        }
        let wrong = |reason: String| ExpressionError { text: text.to_owned(), reason };
        repeats(text, false).map_or(Ok(()), |repeats| Err(wrong(repeats)))?;
        let compiled = LANGUAGE.template_from_str(text).map_err(|error| wrong(describe(&error)))?;
        let parts = machinery::get_compiled_template(&compiled);
        let mut parts = parts.blocks.values().chain([&parts.instructions]);
        parts.find_map(unknown_helper).map_or(Ok(()), |unknown| Err(wrong(unknown)))?;
        let names: BTreeSet<String> = compiled.undeclared_variables(true).into_iter().collect();
        match names.iter().find(|name| !allowed(name)) {
            Some(unknown) => Err(wrong(format!("`{unknown}` is not known here"))),
            None => Ok(Self(Form::Text(text.to_owned()))),
        }
    }

    /// Fills it in.
    pub fn render(&self, variables: &Value) -> Result<serde_json::Value, ExpressionError> {
        match &self.0 {
            Form::Value(expression) => expression.evaluate_to_json(variables),
            Form::Text(text) => LANGUAGE
                .render_str(text, variables)
                .map(serde_json::Value::String)
                .map_err(|error| ExpressionError { text: text.clone(), reason: describe(&error) }),
        }
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// What an expression uses that the language does not have: it looks filters and tests up only when it
/// comes to them, and values have no methods.
fn unknown_helper(instructions: &Instructions<'_>) -> Option<String> {
    (0..).map_while(|index| instructions.get(index)).find_map(|instruction| match instruction {
        Instruction::ApplyFilter(name, ..) => {
            let tried = LANGUAGE.empty_state().apply_filter(name, &[]);
            is(&tried, ErrorKind::UnknownFilter).then(|| format!("there is no filter `{name}`"))
        }
        Instruction::PerformTest(name, ..) => {
            let tried = LANGUAGE.empty_state().perform_test(name, &[]);
            is(&tried, ErrorKind::UnknownTest).then(|| format!("there is no test `{name}`"))
        }
        // Of what a loop calls `loop`, the only thing that has methods.
        Instruction::CallMethod("cycle" | "changed", ..) => None,
        Instruction::CallMethod(name, ..) => Some(format!(
            "values have no method `{name}`; use a filter (`a | upper`) or a test (`a is startingwith 'b'`)"
        )),
        _ => None,
    })
}

/// Looked at before anything is compiled: constants are repeated as soon as they are.
fn repeats(text: &str, is_expression: bool) -> Option<String> {
    let tokens = machinery::tokenize(text, is_expression, SyntaxConfig::default());
    // What is no token is one again and again; the compiler says what is wrong with it.
    let is_there = tokens.map_while(Result::ok).any(|(token, _)| matches!(token, Token::Mul));
    is_there.then(|| "there is no `*`, which repeats texts and lists; write `number | times(60)`".to_owned())
}

fn is<T>(result: &Result<T, minijinja::Error>, kind: ErrorKind) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == kind)
}

fn describe(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn facts(name: &str) -> bool {
        matches!(name, "facts.title" | "facts.number" | "payload" | "payload.deep.down")
    }

    #[test]
    fn values_keep_their_types() {
        let variables = context!(facts => context!(title => "x", number => 7));
        let evaluate = |text| Expression::compile(text, &facts).unwrap().evaluate_to_json(&variables).unwrap();
        assert_eq!(evaluate("facts.number + 1"), serde_json::json!(8));
        assert_eq!(evaluate("facts.title"), serde_json::json!("x"));
        assert_eq!(evaluate("payload"), serde_json::Value::Null);
        assert_eq!(evaluate("payload.deep.down"), serde_json::Value::Null);
    }

    #[test]
    fn numbers_are_multiplied_and_nothing_else_is() {
        let variables = context!(facts => context!(title => "x", number => 7));
        let evaluate = |text| Expression::compile(text, &facts).unwrap().evaluate_to_json(&variables);
        assert_eq!(evaluate("facts.number | times(60)"), Ok(serde_json::json!(420)));
        assert_eq!(evaluate("facts.number | times(0.5)"), Ok(serde_json::json!(3.5)));
        for wrong in [
            "facts.title | times(3)",
            "[1] | times(3)",
            "facts.number | times('3')",
            "facts.number | times(9223372036854775807)",
        ] {
            assert!(evaluate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_template_of_one_expression_keeps_its_type() {
        let variables = context!(facts => context!(title => "x", number => 7));
        let render = |text| Template::compile(text, &facts).unwrap().render(&variables).unwrap();
        assert_eq!(render("{{ facts.number }}"), serde_json::json!(7));
        assert_eq!(render("{{ facts.title }}#{{ facts.number }}"), serde_json::json!("x#7"));
        assert_eq!(render("plain"), serde_json::json!("plain"));
        assert!(Template::compile("a {{ facts.titel }}", &facts).is_err());
        assert!(Template::compile("a {{ facts.title", &facts).is_err());
    }

    #[test]
    fn it_is_known_what_is_looked_up() {
        let items = |text: &str| {
            let allowed = |name: &str| name.starts_with("headers") || name.starts_with("payload");
            let items = Expression::compile(text, &allowed).unwrap().items_of("headers");
            items.map(|items| items.into_iter().collect::<Vec<_>>())
        };
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(items("payload.a ~ 'headers'"), some(&[]));
        assert_eq!(items("headers['x-b'] ~ headers.a"), some(&["a", "x-b"]));
        assert_eq!(items("headers['x-b'] or payload.headers['x-c']"), some(&["x-b"]));
        assert_eq!(items("headers"), None);
        assert_eq!(items("headers[payload.which]"), None);
        assert_eq!(items("headers | items | first"), None);
    }

    #[test]
    fn what_is_wrong_is_named_when_it_is_loaded() {
        let wrong = |text| Expression::compile(text, &facts).unwrap_err().to_string();
        assert_eq!(wrong("facts.titel"), "`facts.titel`: `facts.titel` is not known here");
        assert!(wrong("facts.title ==").starts_with("`facts.title ==`: syntax error"));
        assert_eq!(wrong("facts.title | uper"), "`facts.title | uper`: there is no filter `uper`");
        assert!(wrong("facts.number > 1 and facts.title is startwith 'x'").contains("there is no test `startwith`"));
        assert!(wrong("facts.title.startswith('x')").contains("values have no method `startswith`"));
        let template = Template::compile("{% if true %}{{ facts.title | uper }}{% endif %}", &facts);
        assert!(template.unwrap_err().to_string().contains("there is no filter `uper`"));
        for repeats in ["3 * [1]", "facts.number * 60", "'x' * facts.number", "facts.title | default(facts.number * 2)"]
        {
            assert!(wrong(repeats).contains("there is no `*`"), "{repeats}");
        }
        for torn in ["'facts", "facts.title == \u{1}", "3 * 'x"] {
            assert!(wrong(torn).starts_with('`'), "{torn}");
        }
        let template = Template::compile("{% for x in 3 * [1] %}{{ x }}{% endfor %}", &facts);
        assert!(template.unwrap_err().to_string().contains("there is no `*`"));
        for fine in ["facts.title | upper", "facts.title is startingwith 'x'", "range(3) | list", "facts.number is odd"]
        {
            let known = |name: &str| facts(name) || name == "range";
            assert!(Expression::compile(fine, &known).is_ok(), "{fine}");
        }
    }
}
