//! Arithmetic.

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::{CallFor, Called, Tool, text, text_argument};

/// Calculates an expression.
pub(super) struct Calculator;

impl Tool for Calculator {
    fn name(&self) -> &'static str {
        "calculator"
    }

    fn description(&self) -> &'static str {
        "calculates an expression such as 2 * (3 + 4)"
    }

    fn arguments(&self) -> Value {
        text_argument("expression", "numbers, + - * / ^, brackets, functions such as sqrt", 120)
    }

    fn example(&self, task: &str) -> Value {
        json!({ "expression": arithmetic(task).unwrap_or("2 * (3 + 4)") })
    }

    fn call<'a>(&'a self, arguments: &'a Value, _: &'a CallFor) -> BoxFuture<'a, Called> {
        let result = calculate(text(arguments, "expression"));
        std::future::ready(Ok(result)).boxed()
    }
}

fn calculate(expression: &str) -> Result<String, String> {
    // Signs that people and models write.
    let plain = expression.replace(['×', '·'], "*").replace('÷', "/").replace('−', "-");
    let plain = plain.trim().trim_end_matches('=');
    let result = exmex::eval_str::<f64>(plain)
        .map_err(|error| format!("`{expression}` cannot be calculated: {error}"))?;
    if !result.is_finite() {
        return Err(format!("`{expression}` has no finite result"));
    }
    // Hides what binary fractions add: 0.1 + 0.2 is 0.3.
    let rounded = format!("{result:.10}");
    let rounded = rounded.trim_end_matches('0').trim_end_matches('.');
    let is_zero = result != 0.0 && rounded.trim_start_matches('-') == "0";
    Ok(if is_zero || result.abs() >= 1e15 { format!("{result:e}") } else { rounded.to_owned() })
}

/// The first stretch of a text that is a calculation.
fn arithmetic(text: &str) -> Option<&str> {
    let is_part =
        |character: char| character.is_ascii_digit() || "+-*/^×÷−().  ".contains(character);
    text.split(|character: char| !is_part(character))
        .map(|part| part.trim_matches([' ', '.']))
        .find(|part| {
            let has_sign = part.contains(['+', '-', '*', '/', '^', '×', '÷', '−']);
            has_sign && part.len() <= 100 && calculate(part).is_ok()
        })
}

#[cfg(test)]
mod tests {
    use super::{arithmetic, calculate};

    #[test]
    fn a_calculation_is_found_in_a_text() {
        assert_eq!(arithmetic("What is 17 * 23 plus 4?"), Some("17 * 23"));
        assert_eq!(arithmetic("Say (2+3)*4."), Some("(2+3)*4"));
        assert_eq!(arithmetic("a well-known city in 2026"), None);
    }

    #[test]
    fn expressions_are_calculated() {
        for (expression, result) in [
            ("2 * (3 + 4)", "14"),
            ("0.1 + 0.2", "0.3"),
            ("2^10 =", "1024"),
            ("12 × 3 ÷ 4", "9"),
            ("sqrt(2)", "1.4142135624"),
            ("1 / 1000000000000", "1e-12"),
            ("100", "100"),
        ] {
            assert_eq!(calculate(expression).as_deref(), Ok(result), "{expression}");
        }
    }

    #[test]
    fn nonsense_is_told() {
        for expression in ["", "two plus two", "1 +", "((1)", "x * 2"] {
            let error = calculate(expression).unwrap_err();
            assert!(error.contains("cannot be calculated"), "{error}");
        }
        assert!(calculate("1 / 0").unwrap_err().contains("no finite result"));
    }
}
