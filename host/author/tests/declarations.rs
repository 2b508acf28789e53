//! `plugin-sdk/js/contract.d.ts` has in TypeScript what the interface `types` of `wit/plugin.wit` has, as componentize-qjs
//! passes it. With `SESAME_BLESS=1` this writes the file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking, and says why")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wit_parser::{Docs, Resolve, Type, TypeDef, TypeDefKind};

const HEAD: &str =
    "/**\n * The contract's types, generated from `wit/plugin.wit`: what a plugin gets and gives.\n */\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `not-after` as `notAfter`, with `first` as `NotAfter`.
fn camel(name: &str, first: bool) -> String {
    let words = name.split('-').enumerate().map(|(at, word)| match word.split_at_checked(1) {
        Some((letter, rest)) if first || at > 0 => letter.to_uppercase() + rest,
        _ => word.to_owned(),
    });
    words.collect()
}

fn comment(docs: &Docs, indent: &str) -> String {
    let Some(text) = &docs.contents else { return String::new() };
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    if let [line] = lines[..] {
        return format!("{indent}/** {line} */\n");
    }
    let lines: String = lines.iter().map(|line| format!("{indent} * {line}").trim_end().to_owned() + "\n").collect();
    format!("{indent}/**\n{lines}{indent} */\n")
}

fn of(resolve: &Resolve, given: &Type) -> String {
    match given {
        Type::String => "string".to_owned(),
        Type::U32 | Type::U64 => "number".to_owned(),
        Type::Id(id) => named_or_whole(resolve, &resolve.types[*id]),
        other => panic!("{other:?} has no type here yet"),
    }
}

fn named_or_whole(resolve: &Resolve, given: &TypeDef) -> String {
    match (&given.name, &given.kind) {
        (Some(name), _) => camel(name, true),
        (None, kind) => whole(resolve, kind),
    }
}

fn whole(resolve: &Resolve, kind: &TypeDefKind) -> String {
    match kind {
        TypeDefKind::List(Type::U8) => "Uint8Array".to_owned(),
        TypeDefKind::List(item) => format!("{}[]", of(resolve, item)),
        TypeDefKind::Option(some) => format!("{} | null", of(resolve, some)),
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<_> = tuple.types.iter().map(|item| of(resolve, item)).collect();
            format!("[{}]", types.join(", "))
        }
        other => panic!("{} has no type here yet", other.as_str()),
    }
}

fn declaration(resolve: &Resolve, given: &TypeDef) -> String {
    let (name, mut text) = (camel(given.name.as_deref().unwrap(), true), comment(&given.docs, ""));
    match &given.kind {
        TypeDefKind::Record(record) => {
            let _ = writeln!(text, "export interface {name} {{");
            for field in &record.fields {
                text += &comment(&field.docs, "  ");
                let _ = writeln!(text, "  {}: {};", camel(&field.name, false), of(resolve, &field.ty));
            }
            text += "}\n";
        }
        TypeDefKind::Enum(cases) => {
            let _ = write!(text, "export type {name} =");
            for case in &cases.cases {
                let _ = write!(text, "\n{}  | '{}'", comment(&case.docs, "  "), case.name);
            }
            text += ";\n";
        }
        TypeDefKind::Variant(variant) => {
            let _ = write!(text, "export type {name} =");
            for case in &variant.cases {
                let value = case.ty.as_ref().map(|ty| format!("; val: {}", of(resolve, ty))).unwrap_or_default();
                let _ = write!(text, "\n{}  | {{ tag: '{}'{value} }}", comment(&case.docs, "  "), case.name);
            }
            text += ";\n";
        }
        kind => {
            let _ = writeln!(text, "export type {name} = {};", whole(resolve, kind));
        }
    }
    text
}

#[test]
fn the_types_for_typescript_are_those_of_the_contract() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap();
    let types = resolve.packages[package].interfaces["types"];
    let declarations = resolve.interfaces[types].types.values().map(|id| declaration(&resolve, &resolve.types[*id]));
    let generated = declarations.fold(HEAD.to_owned(), |text, declaration| text + "\n" + &declaration);
    let file = repository().join("plugin-sdk/js/contract.d.ts");
    if std::env::var_os("SESAME_BLESS").is_some() {
        fs::write(&file, &generated).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, generated, "generate it again: SESAME_BLESS=1 cargo test -p sesame-author --test declarations");
}
