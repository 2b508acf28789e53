//! Comparison of values as JSON Schema defines it: numbers by value, not by notation.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// From this number on, a float has no fractional part.
const WHOLE_FROM: f64 = 9_007_199_254_740_992.0;

pub(super) fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

/// The number as an integer, if that is exact.
fn integer(number: &Number) -> Option<i128> {
    let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < WHOLE_FROM);
    #[expect(clippy::cast_possible_truncation, reason = "whole and smaller than 2^53")]
    exact.or_else(|| float().map(|float| float as i128))
}

pub(super) fn numbers(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        // JSON has neither infinities nor NaN, so there is always an order.
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

pub(super) fn is_multiple(number: &Number, of: &Number) -> bool {
    match (integer(number), integer(of)) {
        (Some(number), Some(of)) => of != 0 && number % of == 0,
        _ => {
            let (number, of) = (number.as_f64().unwrap_or_default(), of.as_f64().unwrap_or(1.0));
            let times = number / of;
            // 0.3 counts as three times 0.1, although the nearest floats do not.
            times.is_finite() && (times - times.round()).abs() <= f64::EPSILON * times.abs().max(1.0) * 4.0
        }
    }
}

pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers(a, b) == Ordering::Equal,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// Roughly the work of examining a value once.
pub(super) fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => 1 + text.len() as u64 / 16,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<u64>(),
        Value::Object(table) => {
            1 + table.iter().map(|(key, value)| 1 + key.len() as u64 / 16 + weight(value)).sum::<u64>()
        }
        _ => 1,
    }
}
