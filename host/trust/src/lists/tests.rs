//! Lists of signers: the syntax of a line, and files that are replaced, truncated or removed.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use tempfile::TempDir;

use super::*;

const SITE: &str = "/C=UK/O=eScience/CN=site.example.org";
const OTHER: &str = "/C=UK/O=eScience/CN=other.example.org";
const CA: &str = "/C=UK/O=CA/CN=Root";

fn name(text: &str) -> DistinguishedName {
    DistinguishedName::parse(text).unwrap()
}

fn signer(subject: &str, issuer: &str) -> Signer {
    Signer {
        subject: name(subject),
        issuer: name(issuer),
        serial: "01".into(),
        not_after: 0,
        certificate_der: Vec::new(),
        fingerprint: String::new(),
    }
}

fn lists(authorised: &str, banned: &str) -> SignerLists {
    let list = |text| Arc::new(SignerList::from_text(text));
    SignerLists { authorised: list(authorised), banned: list(banned), unlisted: Unlisted::Reject }
}

fn has(list: &SignerList, subject: &str) -> bool {
    list.contains(&name(subject), &name(CA))
}

#[test]
fn reads_every_form_of_a_line() {
    let text = format!(
        "\u{feff}# sites\r\n\r\n{SITE}\r\n  CN=a,O=Example\\, Inc,C=US  \nC = DE, O = X, CN = b\n\"/C=FR/CN=c\"\n"
    );
    let list = SignerList::from_text(&text);
    assert_eq!((list.len(), list.wrong_lines()), (4, &[][..]));
    for subject in [SITE, "/C=US/O=Example, Inc/CN=a", "/C=DE/O=X/CN=b", "/C=FR/CN=c"] {
        assert!(has(&list, subject), "{subject}");
    }
}

#[test]
fn matches_whole_names_only() {
    let list = SignerList::from_text(&format!("{SITE}\n"));
    for subject in
        ["/C=UK/O=eScience", "/C=UK/O=eScience/CN=site.example.org/CN=x", "/C=UK/O=eScience/CN=Site.example.org"]
    {
        assert!(!has(&list, subject), "{subject}");
    }
}

/// Written in slash form, both names are the same text.
#[test]
fn a_name_that_only_reads_like_the_listed_one_is_not_on_the_list() {
    let list = SignerList::from_text(&format!("{SITE}\n"));
    let forged = name("O=eScience/CN=site.example.org,C=UK");
    let text = |name: &DistinguishedName| -> String {
        name.attributes().map(|(kind, value)| format!("/{kind}={}", value.unwrap())).collect()
    };
    assert_eq!((text(&name(SITE)), text(&forged)), (SITE.to_owned(), SITE.to_owned()));
    assert!(list.contains(&name(SITE), &name(CA)) && !list.contains(&forged, &name(CA)));
}

#[test]
fn a_line_may_name_the_issuer() {
    for line in [format!("\"{SITE}\" issuer=\"{CA}\""), format!("{SITE} issuer=\"{CA}\"")] {
        let list = SignerList::from_text(&line);
        assert!(list.contains(&name(SITE), &name(CA)), "{line}");
        assert!(!list.contains(&name(SITE), &name("/CN=Other CA")), "{line}");
    }
    let quoted = SignerList::from_text("\"CN=a \\\"b\\\",C=UK\" issuer=\"CN=Root,O=CA,C=UK\"");
    assert!(quoted.contains(&name("CN=a \\\"b\\\",C=UK"), &name(CA)));
    let both = SignerList::from_text(&format!("{SITE} issuer=\"/CN=Other CA\"\n{SITE}\n"));
    assert!(both.contains(&name(SITE), &name(CA)));
}

#[test]
fn a_name_cannot_inject_an_issuer_into_its_line() {
    let subject = name(&format!("CN=x issuer=\\\"{}\\\"", CA.replace('/', "\\/")));
    assert_eq!(subject.slash(), None);
    let list = SignerList::from_text(&subject.line());
    assert!(list.contains(&subject, &name(CA)), "{}", subject.line());
    assert!(!has(&list, "/CN=x"));
}

#[test]
fn wrong_lines_are_reported_by_number() {
    let text = b"/C=UK/CN=a\nrubbish\n\"/CN=x\n/CN=y issuer=\"z\"\n/CN=\xe4\n/CN=a # b\nC=UK,CN=b\n/CN=tab\tx\n";
    let list = SignerList::parse(text.to_vec());
    let faults: Vec<(usize, &LineFault)> = list.wrong_lines().iter().map(|line| (line.number, &line.reason)).collect();
    assert_eq!(
        faults,
        [
            (2, &LineFault::Name(NameError::NoType)),
            (3, &LineFault::Quotes),
            (4, &LineFault::Issuer(NameError::NoType)),
            (5, &LineFault::NotUtf8),
            (6, &LineFault::Comment),
            (7, &LineFault::Reversed),
            (8, &LineFault::Name(NameError::Invisible(9))),
        ]
    );
    assert_eq!(list.len(), 3);
    assert!(
        list.warnings()[0]
            .ends_with("line 2: the name does not begin with / and a known attribute type such as /C=; left out")
    );
}

#[test]
fn a_ban_takes_precedence() {
    let lists = lists(&format!("{SITE}\n{OTHER}"), SITE);
    assert_eq!(lists.listing(&signer(SITE, CA)), Listing::Banned);
    assert_eq!(lists.listing(&signer(OTHER, CA)), Listing::Authorised);
    assert_eq!(lists.listing(&signer("/CN=x", CA)), Listing::Unlisted);
}

#[test]
fn a_long_list_is_read_fast() {
    let text: String = (0..100_000).map(|n| format!("/C=UK/O=eScience/CN=host{n}.example.org\n")).collect();
    let before = Instant::now();
    let list = SignerList::from_text(&text);
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    assert!(has(&list, "/C=UK/O=eScience/CN=host99999.example.org"));
}

/// A directory with an authorised list, watched.
struct Watched {
    directory: TempDir,
    source: SignerListsSource,
}

impl Watched {
    fn new(authorised: &str, banned: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dns");
        fs::write(&file, authorised).unwrap();
        let ban = banned.map(|text| {
            let file = directory.path().join("banned");
            fs::write(&file, text).unwrap();
            file
        });
        let source = SignerListsSource::load(&file, ban.as_deref(), Unlisted::Drop).unwrap();
        Self { directory, source }
    }

    /// Replaces a list by renaming a new file, as editors do.
    fn replace(&self, file: &str, text: &str) {
        let aside = self.directory.path().join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.directory.path().join(file)).unwrap();
    }

    fn authorises(&self, subject: &str) -> bool {
        self.source.current().listing(&signer(subject, CA)) == Listing::Authorised
    }

    fn fault(&self) -> Option<ListError> {
        match self.source.refresh() {
            Refreshed::KeptLastGood(error) => Some(error),
            _ => None,
        }
    }
}

#[test]
fn at_start_a_list_must_exist_and_contain_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dns");
    let load = || SignerListsSource::load(&file, None, Unlisted::Reject).map(|_| ()).unwrap_err();
    assert_eq!(load(), ListError::Unreadable { file: file.clone(), kind: ErrorKind::NotFound });
    fs::write(&file, "# nothing\nrubbish\n").unwrap();
    assert!(load().to_string().contains("contains no name (line 2:"), "{}", load());
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(load(), ListError::Unreadable { file: file.clone(), kind: ErrorKind::IsADirectory });
}

#[test]
fn a_changed_list_is_used() {
    let watched = Watched::new(SITE, None);
    assert!(matches!(watched.source.refresh(), Refreshed::Unchanged));
    watched.replace("dns", &format!("{SITE}\n{OTHER}\nrubbish\n"));
    assert!(matches!(watched.source.refresh(), Refreshed::Replaced(warnings) if warnings.len() == 1));
    assert!(watched.authorises(OTHER));
    assert!(matches!(watched.source.refresh(), Refreshed::Unchanged));
}

#[test]
fn an_empty_or_missing_list_keeps_the_last_good_one() {
    let watched = Watched::new(SITE, None);
    watched.replace("dns", "");
    for _ in 0..3 {
        assert!(matches!(watched.fault(), Some(ListError::Empty { .. })));
        assert!(watched.authorises(SITE));
    }
    fs::remove_file(watched.directory.path().join("dns")).unwrap();
    assert!(matches!(watched.fault(), Some(ListError::Unreadable { .. })));
    assert!(watched.authorises(SITE));
    watched.replace("dns", OTHER);
    assert_eq!(watched.fault(), None);
    assert!(watched.authorises(OTHER) && !watched.authorises(SITE));
}

#[test]
fn a_list_that_lost_most_of_its_names_needs_a_second_check() {
    let many: String = (0..10).map(|n| format!("/C=UK/CN=host{n}\n")).collect();
    let watched = Watched::new(&many, None);
    watched.replace("dns", "/C=UK/CN=host0\n/C=UK/CN=host1\n");
    let file = watched.directory.path().join("dns");
    assert_eq!(watched.fault(), Some(ListError::Shrunk { file: file.clone(), before: 10, after: 2 }));
    assert!(watched.authorises("/C=UK/CN=host9"));
    watched.replace("dns", "/C=UK/CN=host0\n/C=UK/CN=host1\n/C=UK/CN=host2\n");
    assert_eq!(watched.fault(), Some(ListError::Shrunk { file, before: 10, after: 3 }));
    assert_eq!(watched.fault(), None);
    assert!(!watched.authorises("/C=UK/CN=host9"));
    watched.replace("dns", &many);
    assert_eq!(watched.fault(), None);
    assert!(watched.authorises("/C=UK/CN=host9"));
}

#[test]
fn a_list_that_is_being_written_is_not_used() {
    let watched = Watched::new(&format!("{SITE}\n{OTHER}\n"), None);
    let file = watched.directory.path().join("dns");
    fs::write(&file, format!("{SITE}\n/C=UK/CN=ha")).unwrap();
    let writer = std::thread::spawn({
        let file = file.clone();
        move || {
            std::thread::sleep(SECOND_READ / 2);
            fs::write(file, format!("{SITE}\n/C=UK/CN=half\n")).unwrap();
        }
    });
    assert_eq!(watched.fault(), Some(ListError::Changing { file }));
    writer.join().unwrap();
    assert!(watched.authorises(OTHER));
    assert_eq!(watched.fault(), None);
    assert!(watched.authorises("/C=UK/CN=half") && !watched.authorises("/C=UK/CN=ha"));
}

#[test]
fn a_broken_ban_list_neither_lifts_the_ban_nor_delays_the_other_list() {
    let watched = Watched::new(SITE, Some(OTHER));
    fs::remove_file(watched.directory.path().join("banned")).unwrap();
    watched.replace("dns", &format!("{SITE}\n{OTHER}\n/CN=new"));
    assert!(matches!(watched.fault(), Some(ListError::Unreadable { .. })));
    assert!(watched.authorises("/CN=new"));
    assert_eq!(watched.source.current().listing(&signer(OTHER, CA)), Listing::Banned);
    watched.replace("banned", "# no one\n");
    assert!(matches!(watched.fault(), Some(ListError::Shrunk { .. })));
    assert_eq!(watched.fault(), None);
    assert!(watched.authorises(OTHER));
}

#[test]
fn unreadable_and_missing_lists_are_distinguished() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dns");
    fs::write(&file, SITE).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root can read everything.
    if fs::read(&file).is_err() {
        let error = SignerList::load(&file).unwrap_err();
        assert_eq!(error, ListError::Unreadable { file, kind: ErrorKind::PermissionDenied });
    }
}

/// The warning on the only line of a list, and how many names it counts.
fn said(line: &str) -> (String, usize) {
    let list = SignerList::from_text(line);
    (list.wrong_lines().first().map(ToString::to_string).unwrap_or_default(), list.len())
}

#[test]
fn an_issuer_without_quotes_is_not_part_of_the_name() {
    let right = "/C=UK/CN=a\" issuer=\"/C=UK/CN=CA";
    for line in ["/C=UK/CN=a issuer=/C=UK/CN=CA", "/C=UK/CN=a\tissuer=/C=UK/CN=CA", "/C=UK/CN=a Issuer= /C=UK/CN=CA"] {
        let (words, names) = said(line);
        assert_eq!(names, 0, "{line}");
        assert_eq!(words, format!("line 1: the issuer needs double quotes; write: \"{right}\""));
    }
    assert_eq!(said(&format!("\"{right}\"")), (String::new(), 1));
    assert_eq!(said("CN=a,C=UK issuer=CN=CA,C=UK").1, 0);
}

#[test]
fn patterns_are_reported_and_match_only_themselves() {
    for line in [
        "/C=UK/O=eScience/*",
        "/C=UK/CN=*",
        "CN=*,O=eScience,C=UK",
        "/C=UK/CN=.*",
        "/C=UK/CN=.+",
        "/C=UK/CN=robot*1",
        "/C=UK/CN=a$",
    ] {
        let (words, names) = said(line);
        assert!(names == 1 && words.contains("is a pattern, and names match exactly"), "{line}: {words}");
        let list = SignerList::from_text(line);
        assert!(list.contains(&name(line), &name("/O=CA")), "{line}: a ban of that name holds");
        assert!(!list.contains(&name("/C=UK/CN=robot1"), &name("/O=CA")), "{line}");
    }
    for line in ["^/C=UK/CN=a$", "*"] {
        assert_eq!(said(line).1, 0, "{line}");
    }
    let (words, names) = said("/C=UK/CN=*.example.org");
    assert!(names == 1 && words.contains("* is a literal character"), "{words}");
}

#[test]
fn lines_of_other_tools_are_reported() {
    for (line, words, names) in [
        ("subject=/C=UK/CN=a", "without subject=", 0),
        ("subject= /C=UK/CN=a", "without subject=", 0),
        ("subject=C = UK, CN = a", "without subject=", 0),
        ("dn: CN=a,C=UK", "without dn:", 0),
        ("'/C=UK/CN=a'", "expected \"NAME\"", 0),
        ("/CN=a/O=b/C=UK", "slash form begins with the country", 1),
        ("/C=UK/CN=a/", "the trailing /", 1),
        ("/C=UK/CN=a\t# comment", "U+0009", 0),
    ] {
        let (said, count) = said(line);
        assert!(said.contains(words) && count == names, "{line}: {said}, {count} names");
    }
}

#[test]
fn the_line_for_a_name_has_slash_form_if_that_parses_to_the_name() {
    for (line, offered) in [
        (SITE, SITE),
        ("/C=UK/O=eScience/CN=host/ce.example.org", "/C=UK/O=eScience/CN=host/ce.example.org"),
        ("CN=a/O=b,C=UK", "CN=a/O\\=b,C=UK"),
        ("CN=x issuer\\=y,C=UK", "CN=x issuer\\=y,C=UK"),
        ("CN=a #b,C=UK", "CN=a #b,C=UK"),
        ("UID=1+CN=a,C=UK", "UID=1+CN=a,C=UK"),
    ] {
        let name = name(line);
        let written = SignerList::line_for(&name);
        assert_eq!(written, offered);
        assert!(SignerList::from_text(&written).contains(&name, &name), "{written}");
    }
}
