//! The difference between two texts, for people: `-` what is expected, `+` what came out, and two lines around.

use super::super::output;

/// Lines around a difference.
const AROUND: usize = 2;
/// Lines that are shown of one difference.
const SHOWN: usize = 200;
/// Beyond so many pairs of lines the texts are not searched for what they have in common.
const SEARCHED: usize = 4_000_000;

/// A line of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line<'a> {
    Both(&'a str),
    Wanted(&'a str),
    Found(&'a str),
}

/// The differing lines of two contents; what is not text is written as `\xNN`.
pub(super) fn of_bytes(wanted: &[u8], found: &[u8]) -> Vec<String> {
    let lines = of_lines(&output::content(wanted), &output::content(found));
    if lines.is_empty() { vec!["they differ in line ends or escaped characters only".to_owned()] } else { lines }
}

/// The differing lines, none where there are none.
pub(super) fn of_lines(wanted: &[String], found: &[String]) -> Vec<String> {
    let lines = compare(wanted, found);
    let differs = |at: usize| lines.get(at).is_some_and(|line| !matches!(line, Line::Both(_)));
    let near = |at: usize| (at.saturating_sub(AROUND)..=at + AROUND).any(differs);
    let mut shown = Vec::new();
    let mut gap = false;
    for (at, line) in lines.iter().enumerate() {
        if !near(at) {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) && !shown.is_empty() {
            shown.push("…".to_owned());
        }
        shown.push(match line {
            Line::Both(text) => format!("  {text}"),
            Line::Wanted(text) => format!("- {text}"),
            Line::Found(text) => format!("+ {text}"),
        });
    }
    let surplus = shown.len().saturating_sub(SHOWN);
    shown.truncate(SHOWN);
    if surplus > 0 {
        shown.push(format!("… and {surplus} lines more"));
    }
    shown
}

fn compare<'a>(wanted: &'a [String], found: &'a [String]) -> Vec<Line<'a>> {
    let same = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (head, wanted) = wanted.split_at(same);
    let (_, found) = found.split_at(same);
    let tail = wanted.iter().rev().zip(found.iter().rev()).take_while(|(a, b)| a == b).count();
    let (wanted, end) = wanted.split_at(wanted.len() - tail);
    let (found, _) = found.split_at(found.len() - tail);
    let mut lines: Vec<Line<'a>> = head.iter().map(|text| Line::Both(text)).collect();
    lines.extend(between(wanted, found));
    lines.extend(end.iter().map(|text| Line::Both(text)));
    lines
}

/// Compares by the longest common subsequence, where that is not too much work.
fn between<'a>(wanted: &'a [String], found: &'a [String]) -> Vec<Line<'a>> {
    if wanted.len().saturating_mul(found.len()) > SEARCHED {
        let wanted = wanted.iter().map(|text| Line::Wanted(text));
        return wanted.chain(found.iter().map(|text| Line::Found(text))).collect();
    }
    let common = common_lengths(wanted, found);
    let length = |i: usize, j: usize| common.get(i * (found.len() + 1) + j).copied().unwrap_or(0);
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (wanted.get(i), found.get(j)) {
            (Some(a), Some(b)) if a == b => {
                lines.push(Line::Both(a));
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), b) if b.is_none() || length(i + 1, j) >= length(i, j + 1) => {
                lines.push(Line::Wanted(a));
                i += 1;
            }
            (_, Some(b)) => {
                lines.push(Line::Found(b));
                j += 1;
            }
            _ => return lines,
        }
    }
}

/// How many lines the texts have in common from each pair of positions on, row by row.
fn common_lengths(wanted: &[String], found: &[String]) -> Vec<u32> {
    let width = found.len() + 1;
    let mut lengths = vec![0_u32; (wanted.len() + 1) * width];
    for (i, a) in wanted.iter().enumerate().rev() {
        for (j, b) in found.iter().enumerate().rev() {
            let at = |i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
            let length = if a == b { at(i + 1, j + 1) + 1 } else { at(i + 1, j).max(at(i, j + 1)) };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = length;
            }
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(wanted: &str, found: &str) -> Vec<String> {
        of_lines(&output::content(wanted.as_bytes()), &output::content(found.as_bytes()))
    }

    #[test]
    fn shows_what_changed_and_a_little_around_it() {
        assert!(difference("a\nb\n", "a\nb\n").is_empty());
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), ["  a", "- b", "+ x", "  c"]);
        assert_eq!(difference("a\nb\n", "a\nnew\nb\n"), ["  a", "+ new", "  b"]);
        let long: String = (0..20).map(|n| format!("{n}\n")).collect();
        let changed = long.replace("3\n", "x\n");
        let shown = difference(&long, &changed);
        assert_eq!(
            shown,
            ["  1", "  2", "- 3", "+ x", "  4", "  5", "…", "  11", "  12", "- 13", "+ 1x", "  14", "  15"]
        );
    }

    #[test]
    fn equal_texts_of_different_bytes_are_told() {
        assert_eq!(of_bytes(b"a\n", b"a"), ["they differ in line ends or escaped characters only"]);
    }

    #[test]
    fn very_different_texts_are_cut() {
        let (one, two): (String, String) =
            ((0..3000).map(|n| format!("a{n}\n")).collect(), (0..3000).map(|n| format!("b{n}\n")).collect());
        let shown = difference(&one, &two);
        assert_eq!((shown.len(), shown.last().map(String::as_str)), (201, Some("… and 5800 lines more")));
    }
}
