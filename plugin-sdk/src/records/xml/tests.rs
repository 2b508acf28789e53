//! Literal documents.

use super::*;

fn names(source: &str) -> Result<Vec<(String, String)>, Fault> {
    let document = Document::parse(source)?;
    Ok(document.elements().map(|element| (element.namespace().to_owned(), element.name().to_owned())).collect())
}

fn rule(source: &str) -> &'static str {
    Document::parse(source).map(|_| "none").unwrap_or_else(|fault| fault.rule)
}

#[test]
fn elements_have_their_namespaces_and_places() {
    let source =
        "<?xml version='1.0'?>\n<a:x xmlns:a='u' xmlns='d'><y a:p='1' q='2'><a:z xmlns:a='v'/></y><a:w/></a:x>\n";
    let document = Document::parse(source).expect("well-formed");
    let found: Vec<_> = document.elements().map(|element| (element.namespace(), element.name())).collect();
    assert_eq!(found, [("u", "x"), ("d", "y"), ("v", "z"), ("u", "w")]);
    let spans: Vec<&str> = document.elements().map(|element| &source[element.span()]).collect();
    assert_eq!(spans[1..], ["<y a:p='1' q='2'><a:z xmlns:a='v'/></y>", "<a:z xmlns:a='v'/>", "<a:w/>"]);
    assert_eq!(spans[0], source[22..].trim_end());
    let y = document.elements().nth(1).expect("y");
    assert_eq!((y.attribute("u", "p").as_deref(), y.attribute("", "q").as_deref()), (Some("1"), Some("2")));
    assert_eq!((y.attribute("u", "q"), y.attribute("d", "q"), y.attribute("v", "p")), (None, None, None));
    assert_eq!(y.descendants().map(|element| element.name()).collect::<Vec<_>>(), ["z"]);
}

#[test]
fn text_is_the_elements_own() {
    let text = |source: &str| Document::parse(source).expect("well-formed").root().expect("a root").text().into_owned();
    for (source, expected) in [
        ("<a> b </a>", " b "),
        ("<a/>", ""),
        ("<a>1<b>2</b>3<!-- 4 -->5<?p 6?>7</a>", "1357"),
        ("<a><![CDATA[1]]></a>", ""),
        ("<a>1<![CDATA[<&]]>2</a>", "12"),
        ("<a>&#49;&amp;\r\n]]&gt;</a>", "1&\n]]>"),
    ] {
        assert_eq!(text(source), expected, "{source}");
    }
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for source in [
        "",
        "a",
        "<",
        "<a",
        "<a>",
        "<a></b>",
        "<a></a",
        "<a/>b",
        "<a/><a/>",
        "<a/ >",
        "< a/>",
        "<a b/>",
        "<a b=c/>",
        "<a b='1'c='2'/>",
        "<a b='<'/>",
        "<a b='1' b='2'/>",
        "<a>&b;</a>",
        "<a>&#0;</a>",
        "<a>&</a>",
        "<a>]]></a>",
        "<a>\u{1}</a>",
        "<a>\u{ffff}</a>",
        "<a><!-- -- --></a>",
        "<a><?xml version='1.0'?></a>",
        "<?xml?><a/>",
        " <?xml version='1.0'?><a/>",
        "<?xml version='1.0' standalone='x'?><a/>",
        "<1/>",
        "<a:/>",
        "<:a/>",
        "<a:b:c/>",
        "<a.\u{d7}/>",
        "<![CDATA[x]]><a/>",
        "<a><![CDATA[x</a>",
        "<a>&#xD800;</a>",
        "<a b='\u{0}'/>",
        "<a><?1?></a>",
    ] {
        assert!(names(source).is_err(), "{source}");
    }
}

#[test]
fn namespaces_are_held_to_their_rules() {
    for source in [
        "<a:b/>",
        "<a b:c='1'/>",
        "<a xmlns:b=''/>",
        "<a xmlns:xmlns='u'/>",
        "<a xmlns:xml='u'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:b='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns:b='u' xmlns:c='u' b:d='1' c:d='2'/>",
        "<a xmlns:b='u' xmlns:b='v'/>",
        "<a xmlns='u v'/>",
        "<a><b xmlns:c='u'/><c:d/></a>",
        "<xmlns:a/>",
    ] {
        assert!(names(source).is_err(), "{source}");
    }
    for source in [
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='en'/>",
        "<a xmlns='u' xmlns:b='u' b:c='1' c='2'/>",
        "<a xmlns='u'><b xmlns=''/></a>",
        "<a xmlns:b='u' xmlns:c='v' b:d='1' c:d='2'/>",
    ] {
        assert!(names(source).is_ok(), "{source}");
    }
    assert_eq!(names("<a xmlns='u'><b xmlns=''/></a>").map(|names| names[1].0.clone()), Ok(String::new()));
}

#[test]
fn bombs_are_refused_within_bounds() {
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
    assert_eq!(rule(bomb), "a document type declaration keeps the consumer from recognising a message");
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert_eq!(rule(&nested(MAX_DEPTH)), "none");
    assert_eq!(rule(&nested(MAX_DEPTH + 1)), "elements are nested too deeply for the consumer");
    assert_eq!(rule(&"<a>".repeat(300_000)), "elements are nested too deeply for the consumer");
    let attributes: String = (0..=MAX_NAMES).map(|index| format!(" a{index}=''")).collect();
    assert_eq!(rule(&format!("<a{attributes}/>")), "an element has too many attributes");
    let declared: String = (0..MAX_NAMES).map(|index| format!(" xmlns:a{index}='u'")).collect();
    assert_eq!(rule(&format!("<a{declared}/>")), "too many namespaces are declared");
}

#[test]
fn every_beginning_of_a_document_is_refused() {
    let source = "<?xml version=\"1.0\" encoding='UTF-8'?>\n<!-- c --><a b=\"1\"><?p q?>é&amp;<![CDATA[x]]><c/></a>";
    assert!(names(source).is_ok());
    for end in (0..source.len()).filter(|&end| source.is_char_boundary(end)) {
        assert!(names(&source[..end]).is_err(), "{}", &source[..end]);
    }
}

#[test]
fn a_fault_is_told_with_its_place() {
    let findings = message(b"\n <a>\n  <b></c>\n</a>").expect_err("it is not well-formed");
    let finding = findings.first().expect("a finding");
    assert_eq!(finding.code, "xml.malformed");
    assert_eq!(finding.text, "an end tag does not match its start tag (line 2, column 8)");
}
