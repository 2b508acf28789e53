//! A small scanner for Rust sources: comments, strings, identifiers and punctuation, each with its line.
//!
//! It knows as much of the language as the tests here need: nested comments, raw and byte strings, characters and
//! lifetimes. What stands below `#[cfg(test)]` can be left out.

use std::iter::Peekable;
use std::str::Chars;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Name,
    /// The content of a string, without its quotes and with its escapes resolved.
    Text,
    /// A comment or a doc comment, without its slashes.
    Comment,
    /// Everything else: a character of punctuation, a number or a character literal.
    Other,
}

/// One token of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its text.
    pub(crate) text: String,
    /// Its line, from 1.
    pub(crate) line: usize,
}

impl Token {
    /// Whether this is the name or the punctuation `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Name | Kind::Other) && self.text == text
    }
}

struct Scanner<'s> {
    rest: Peekable<Chars<'s>>,
    line: usize,
    tokens: Vec<Token>,
}

/// The tokens of `source`.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut scanner = Scanner { rest: source.chars().peekable(), line: 1, tokens: Vec::new() };
    while scanner.token() {}
    scanner.tokens
}

/// The tokens outside items that are compiled for tests only.
pub(crate) fn outside_tests(tokens: &[Token]) -> Vec<Token> {
    let gate = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let gated =
            tokens[at..].len() >= gate.len() && gate.iter().zip(&tokens[at..]).all(|(want, token)| token.is(want));
        if gated {
            at = after_item(tokens, at + gate.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The index behind the item at `at`: behind its first `;`, or behind the first pair of braces.
fn after_item(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            _ if token.kind != Kind::Other => {}
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 => return index + 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The index of the bracket that closes the one at `open`.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            _ if token.kind != Kind::Other => {}
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" if depth == 1 => return index,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn push(&mut self, kind: Kind, text: String, line: usize) {
        self.tokens.push(Token { kind, text, line });
    }

    fn token(&mut self) -> bool {
        let line = self.line;
        let Some(first) = self.next() else { return false };
        match first {
            '/' if self.peek() == Some('/') => self.line_comment(line),
            '/' if self.peek() == Some('*') => self.block_comment(line),
            '"' => self.string(line),
            '\'' => self.character(line),
            _ if first.is_alphanumeric() || first == '_' => self.word(first, line),
            _ if first.is_whitespace() => {}
            _ => self.push(Kind::Other, first.to_string(), line),
        }
        true
    }

    fn line_comment(&mut self, line: usize) {
        let mut text = String::new();
        while self.peek().is_some_and(|next| next != '\n') {
            text.extend(self.next());
        }
        self.push(Kind::Comment, text.trim_start_matches(['/', '!']).to_owned(), line);
    }

    fn block_comment(&mut self, line: usize) {
        let (mut depth, mut text, mut last) = (1_usize, String::new(), ' ');
        self.next();
        while let Some(next) = self.next() {
            match (last, next) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            text.push(next);
            last = next;
        }
        self.push(Kind::Comment, text, line);
    }

    fn string(&mut self, line: usize) {
        let mut text = String::new();
        while let Some(next) = self.next() {
            match next {
                '"' => break,
                '\\' => match self.next() {
                    Some('\n') => {
                        while self.peek().is_some_and(char::is_whitespace) {
                            self.next();
                        }
                    }
                    Some('n') => text.push('\n'),
                    Some(escaped) => text.push(escaped),
                    None => break,
                },
                _ => text.push(next),
            }
        }
        self.push(Kind::Text, text, line);
    }

    /// A raw string whose `r` is read; `hashes` of them stand before its quote.
    fn raw_string(&mut self, line: usize) {
        let mut hashes = 0;
        while self.peek() == Some('#') {
            self.next();
            hashes += 1;
        }
        self.next();
        let end = format!("\"{}", "#".repeat(hashes));
        let mut text = String::new();
        while !text.ends_with(&end) {
            match self.next() {
                Some(next) => text.push(next),
                None => break,
            }
        }
        text.truncate(text.len().saturating_sub(end.len()));
        self.push(Kind::Text, text, line);
    }

    /// A character such as `'a'` or `'\n'`, or a lifetime such as `'a`.
    fn character(&mut self, line: usize) {
        let first = self.next();
        if first == Some('\\') {
            self.next();
            while self.next().is_some_and(|next| next != '\'') {}
        } else if self.peek() == Some('\'') {
            self.next();
        } else {
            while self.peek().is_some_and(|next| next.is_alphanumeric() || next == '_') {
                self.next();
            }
        }
        self.push(Kind::Other, "'".to_owned(), line);
    }

    fn word(&mut self, first: char, line: usize) {
        let mut text = first.to_string();
        while self.peek().is_some_and(|next| next.is_alphanumeric() || next == '_') {
            text.extend(self.next());
        }
        match (text.as_str(), self.peek()) {
            ("b" | "c", Some('"')) => {
                self.next();
                self.string(line);
            }
            ("b", Some('\'')) => {
                self.next();
                self.character(line);
            }
            ("r" | "br" | "cr", Some('"' | '#')) => self.raw_string(line),
            _ if first.is_ascii_digit() => self.push(Kind::Other, text, line),
            _ => self.push(Kind::Name, text, line),
        }
    }
}

#[test]
fn scans_strings_comments_and_characters() {
    let source = "// one\nlet a = \"x \\\n   y\\\"\"; /* a /* b */ c */ r#\"raw \"q\" \"#; 'c' '\\'' &'static b\"z\"";
    let found: Vec<_> = tokens(source)
        .into_iter()
        .filter(|token| token.kind != Kind::Other)
        .map(|token| (token.kind, token.text, token.line))
        .collect();
    let expected = [
        (Kind::Comment, " one", 1),
        (Kind::Name, "let", 2),
        (Kind::Name, "a", 2),
        (Kind::Text, "x y\"", 2),
        (Kind::Comment, " a /* b */ c *", 3),
        (Kind::Text, "raw \"q\" ", 3),
        (Kind::Text, "z", 3),
    ];
    assert_eq!(found, expected.map(|(kind, text, line)| (kind, text.to_owned(), line)));
}

#[test]
fn leaves_out_what_is_compiled_for_tests() {
    let source = "fn a() {} #[cfg(test)] mod tests { fn b() { c(\"}\") } } #[cfg(test)] use d; fn e() {}";
    let names: Vec<_> = outside_tests(&tokens(source)).into_iter().filter(|token| token.kind == Kind::Name).collect();
    assert_eq!(names.iter().map(|token| token.text.as_str()).collect::<Vec<_>>(), ["fn", "a", "fn", "e"]);
}
