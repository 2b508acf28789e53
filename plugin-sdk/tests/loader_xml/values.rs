//! Values as they should be, and as they should not.

use crate::random::Random;

/// Times of all forms that are near to one that is taken.
pub fn time(random: &mut Random) -> String {
    let mut mostly = |good: &[&str], odd: &[&str]| {
        let from = if random.once_in(10) { odd } else { good };
        random.pick(from).to_owned()
    };
    let mut text = mostly(&["2012", "2026", "2000"], &["0001", "9999", "0000", "1900", "202", "20123", "٢012"]);
    text += &mostly(&["-"], &[""]);
    text += &mostly(&["01", "02", "12", "10"], &["5", "1", "13", "00", ""]);
    text += &mostly(&["-"], &[""]);
    text += &mostly(&["01", "28", "29", "09"], &["31", "2", "00", "32", "9", ""]);
    if mostly(&["time"], &[""]) == "time" {
        text += &mostly(&["T", "T", " "], &["t", "\n", ""]);
        text += &mostly(&["00", "23", "12"], &["24", "5", ""]);
        text += &mostly(&[":", ":", ""], &[" "]);
        text += &mostly(&["00", "59", "30"], &["60", "5", ""]);
        text += &mostly(&[":", ":", ""], &["-"]);
        text += &mostly(&["00", "59", "30", "5", ""], &["60", "061"]);
        text += &mostly(&["", "", ".5", ",123456789"], &[".", FRACTION, ".9999999999999999999999999999", "5"]);
        text += &mostly(
            &["Z", "Z", "", "+01:00", "-0130", "+05:", "+00"],
            &["+23:59", "+24:00", "+5", "z", "-23:60", "ZZ"],
        );
    }
    text += &mostly(&["", "", "", "\n"], &["\n\n", " "]);
    if random.once_in(6) { random.garble(&text, &["0", "-", ":", "T", "Z", "+", " ", "1", "\u{a0}"]) } else { text }
}

/// More nines than the consumer reckons with.
const FRACTION: &str = ".999999999999999999999999999999";

/// Durations, likewise.
pub fn duration(random: &mut Random) -> String {
    let mut text = String::from(if random.once_in(20) { "" } else { "P" });
    for unit in ["Y", "M", "W", "D"] {
        if random.once_in(4) {
            text += random.pick(&["1", "0", "12", "00000000000000000000099"]);
            text += unit;
        }
    }
    text += random.pick(&["T", "T", "T", ""]);
    for unit in ["H", "M"] {
        if random.once_in(3) {
            text += random.pick(&["1", "0", "12", "99999999999999999999999"]);
            text += unit;
        }
    }
    if !random.once_in(3) {
        let seconds = ["1", "3600", "1.5", "1,5", "2.", ".5", "-5", "1e3", "1.2.3", "٣"];
        text += random.pick(&seconds);
        text += random.pick(&["S", "S", "S", "S", "s", ""]);
    } else if random.once_in(40) {
        text += &random.pick(&["9", "0"]).repeat(5000);
        text += random.pick(&["S", ".0S"]);
    }
    text += random.pick(&["", "", "", "", "", "\n", " "]);
    if random.once_in(4) { random.garble(&text, &["P", "T", "1", "S", "M", ".", " "]) } else { text }
}

/// Names of elements, of all characters.
pub fn name(random: &mut Random) -> String {
    let mut character = |first: bool| loop {
        let below = [0x80, 0x400, 0x3100, 0x1_0000, 0x11_0000][random.below(5)];
        let Some(c) = char::from_u32(random.below(below) as u32) else { continue };
        // Most of what is no name at all would say nothing about the others.
        if !first || !c.is_ascii() || c.is_ascii_alphabetic() {
            return c;
        }
    };
    let (first, second) = (character(true), character(false));
    let mut name = String::from(if random.once_in(2) { "" } else { "a" });
    name.push(first);
    if random.once_in(3) {
        name.push(second);
    }
    name
}

/// What may stand in place of a number.
pub const NUMBERS: [&str; 30] = [
    "0",
    "1",
    "-1",
    "+5",
    "12",
    "007",
    " 3 ",
    "1_000",
    "1__0",
    "_1",
    "1.0",
    "1.5",
    "1e3",
    "inf",
    "nan",
    "-Infinity",
    "",
    "none",
    "NULL",
    "None ",
    "abc",
    "٣",
    "1２",
    "99999999999999999999999",
    "0x10",
    "1,5",
    "\n4\n",
    "\u{a0}5",
    "-",
    "1 2",
];

/// What may stand in place of a text.
pub const TEXTS: [&str; 14] = [
    "",
    "none",
    "None",
    "NULL",
    "null",
    " ",
    " none",
    "x",
    "UKI-TEST",
    "é",
    "a;b",
    "\n",
    "0",
    "/atlas/Role=production",
];

/// What may stand in place of a benchmark's name.
pub const BENCHMARKS: [&str; 10] =
    ["si2k", "Si2K", "hepspec", "HEPSCORE23", "custom", "", "none", "hepspec ", "si2\u{212a}", "ſi2k"];

/// The year that the tests run in, and times around the end of what is no future.
pub const TIMES: [&str; 12] = [
    "2026-05-28T20:26:40Z",
    "2026-05-30T20:26:40Z",
    "2026-05-30T20:26:41Z",
    "2026-05-30T20:26:40.000001Z",
    "2026-05-30T21:26:40+01:00",
    "2012-05-20T23:59:47Z",
    "2012-05-20 23:59:47",
    "2012",
    "1337558387",
    "",
    "none",
    "0001-01-01T00:00:00+01:00",
];
