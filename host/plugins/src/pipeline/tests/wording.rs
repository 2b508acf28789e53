//! The errors for operators when a plugin cannot be used or cannot answer: a folder for each case, with the sidecar, the name
//! of the guest or the bytes of the file, and `error.txt`. With `SESAME_TEST_WRITE` set the texts are rewritten; read them
//! before the commit.

use std::fs;

use super::*;

/// The folder of a case.
struct Case(PathBuf);

impl Case {
    fn name(&self) -> String {
        self.0.file_name().unwrap().to_string_lossy().into_owned()
    }

    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.0.join(file)).ok()
    }

    /// The error when the plugin is loaded, or when it is called with a message.
    fn said(&self) -> String {
        let sidecar = self.text("sidecar.toml").unwrap_or_default();
        let source = match self.text("guest") {
            Some(name) => stage(name.trim(), &sidecar),
            None => {
                let sidecar = Sidecar::parse(&sidecar, Path::new("sidecar.toml")).unwrap();
                StageSource::named(self.0.join("plugin.wasm").to_str().unwrap(), Some(sidecar))
            }
        };
        match Pipeline::load(plugins(), settings(vec![source])) {
            Err(errors) => errors[0].to_string(),
            Ok(pipeline) => match run(&pipeline, "payload") {
                Outcome::Failed { error, .. } => error.to_string(),
                other => panic!("{}: {other:?}", self.name()),
            },
        }
    }
}

/// Replaces what varies: lines and columns of a guest's source, its hash, and the path of the plugins' log, which depends on
/// whether another test of this process has opened one.
fn without_places(text: &str) -> String {
    let text =
        &match text.split_once("see its log, ").and_then(|(before, rest)| Some((before, rest.split_once(", and ")?.1)))
        {
            Some((before, after)) => format!("{before}see the plugin's log and {after}"),
            None => text.to_owned(),
        };
    let text = &match text.split_once("its SHA-256 is ") {
        Some((before, after)) => format!("{before}its SHA-256 is HASH{}", after.get(64..).unwrap_or_default()),
        None => text.to_owned(),
    };
    let mut words = text.split("src/lib.rs:");
    let mut out = words.next().unwrap().to_owned();
    for word in words {
        out.push_str("src/lib.rs:LINE");
        out.push_str(word.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':'));
    }
    out
}

#[test]
fn every_refusal_and_fault_reads_as_its_case_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
    let mut cases: Vec<Case> = fs::read_dir(folder).unwrap().map(|entry| Case(entry.unwrap().path())).collect();
    cases.sort_by_key(Case::name);
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let (said, expected) = (without_places(&case.said()), case.text("error.txt").unwrap_or_default());
        if std::env::var_os("SESAME_TEST_WRITE").is_some() {
            fs::write(case.0.join("error.txt"), format!("{said}\n")).unwrap();
        } else if said != expected.trim_end() {
            wrong.push(format!("{}\n  said      {said}\n  error.txt {}", case.name(), expected.trim_end()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
