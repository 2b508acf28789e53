//! `docs/src/alerts.md` says of each rule in `conf/observe` what it means, with the severity that it has, in the section that
//! its annotation `runbook` names; and of no other.

use std::collections::BTreeMap;

use crate::tree;

/// Severity and section of each alert, by the rules.
fn ruled() -> BTreeMap<String, (String, String)> {
    let rules = tree::text("conf/observe/sesame-alerts.yml").unwrap();
    let mut found = BTreeMap::new();
    for rule in rules.split("- alert: ").skip(1) {
        let field = |name: &str| {
            let mut lines = rule.lines().map(str::trim);
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap().to_owned()
        };
        let section = field("runbook").strip_prefix("alerts.md#").unwrap().to_owned();
        found.insert(rule.lines().next().unwrap().to_owned(), (field("severity"), section));
    }
    found
}

/// The same by the page.
fn told() -> BTreeMap<String, (String, String)> {
    let page = tree::text("docs/src/alerts.md").unwrap();
    let (mut section, mut found) = (String::new(), BTreeMap::new());
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.to_lowercase().replace(' ', "-");
        }
        let Some(row) = line.strip_prefix("| `Sesame") else { continue };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let alert = format!("Sesame{}", cells[0].trim_end_matches('`'));
        assert!(cells.len() == 5 && cells[2].len() > 10 && cells[3].len() > 5, "{line}");
        let before = found.insert(alert, (cells[1].to_owned(), section.clone()));
        assert!(before.is_none(), "twice: {line}");
    }
    found
}

#[test]
fn the_page_has_every_alert_with_its_severity_where_the_rule_says() {
    assert_eq!(told(), ruled());
    assert!(ruled().len() >= 17);
}
