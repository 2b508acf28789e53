//! What a PromQL expression names, read as far as the rules and the dashboard need it.

use std::collections::BTreeSet;

use regex::Regex;

/// A series that is named, with the labels that are named beside it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) metric: String,
    pub(crate) labels: BTreeSet<String>,
}

/// Without what is between quotes, which may be anything.
fn bare(expression: &str) -> String {
    Regex::new(r#""(?:[^"\\]|\\.)*""#).unwrap().replace_all(expression, "\"\"").into_owned()
}

/// Every series of an expression, with the labels in its braces.
pub(crate) fn named(expression: &str) -> Vec<Named> {
    let bare = bare(expression);
    let series = Regex::new(r"\b(up|(?:sesame|process)_[a-z_]+)\b(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"([a-z_]+)\s*(?:=~|!~|!=|=)").unwrap();
    let labels = |text: &str| label.captures_iter(text).map(|found| found[1].to_owned()).collect();
    let found = series.captures_iter(&bare);
    found
        .map(|it| Named { metric: it[1].to_owned(), labels: labels(it.get(2).map_or("", |braces| braces.as_str())) })
        .collect()
}

/// The labels by which an expression groups.
pub(crate) fn grouped(expression: &str) -> BTreeSet<String> {
    let bare = bare(expression);
    let lists = Regex::new(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)").unwrap();
    let lists = lists.captures_iter(&bare).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    lists.iter().flat_map(|list| list.split(',')).map(|label| label.trim().to_owned()).collect()
}

/// The labels that a text shows, as `{{ $labels.channel }}` or `{{channel}}`.
pub(crate) fn placeholders(text: &str, before: &str) -> BTreeSet<String> {
    let label = Regex::new(&format!(r"\{{\{{\s*{}([a-z_]+)", regex::escape(before))).unwrap();
    label.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn reads_series_labels_and_groups() {
    let expression =
        r#"sum by (le, a) (rate(sesame_step_seconds_bucket{channel=~"x{y=1}",step!="}"}[5m])) > on (b) up"#;
    let found = named(expression);
    let names: Vec<&str> = found.iter().map(|it| it.metric.as_str()).collect();
    assert_eq!(names, ["sesame_step_seconds_bucket", "up"]);
    assert_eq!(found[0].labels, ["channel", "step"].map(str::to_owned).into());
    assert_eq!(grouped(expression), ["le", "a", "b"].map(str::to_owned).into());
    assert_eq!(placeholders("{{ $labels.channel }} {{ $value }}", "$labels."), ["channel".to_owned()].into());
    assert_eq!(placeholders("{{channel}} x", ""), ["channel".to_owned()].into());
}
