//! `docs/src/troubleshooting.md` has a row for every error and warning about acknowledgements and missing messages.

use regex::Regex;

use crate::tree;

/// The sources, and what begins a text there that an operator reads. The text ends where something is filled in.
const SOURCES: [(&str, &str); 4] = [
    ("host/sesame/src/sender/retention.rs", r#"tracing::(?:error|warn)!\([^;]*?"([^"]+)"|\.report\("([^"]+)""#),
    ("host/sesame/src/receiver/acknowledger.rs", r#"tracing::(?:error|warn)!\([^;]*?"([^"]+)""#),
    ("host/sesame/src/receiver/gaps.rs", r#"tracing::(?:error|warn)!\([^;]*?"([^"]+)""#),
    ("host/sesame/src/service/listener.rs", r#"\.warn\("([^"]+)"|\.ignore\("([^"]+)"|"(it (?:is|cannot) [^"]+)""#),
];

/// The beginning of a text, up to where something is filled in or its first sentence ends.
fn piece(text: &str) -> &str {
    text.split([';', ':', '{', '}', ',']).next().unwrap_or_default().trim()
}

#[test]
fn every_line_about_acknowledgements_has_a_row() {
    let page = tree::text("docs/src/troubleshooting.md").unwrap();
    let (mut found, mut missing) = (0, Vec::new());
    for (file, pattern) in SOURCES {
        let text = tree::text(file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for one in Regex::new(pattern).unwrap().captures_iter(text) {
            let said = piece(one.iter().skip(1).flatten().next().unwrap().as_str());
            // `{what}` alone; what it is stands where it is reported.
            if said.is_empty() {
                continue;
            }
            found += 1;
            if !page.contains(said) {
                missing.push(format!("{file}: {said}"));
            }
        }
    }
    assert!(found >= 24, "only {found} texts were found");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
