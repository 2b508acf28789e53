//! `plugin-sdk/js/contract.d.ts` has in TypeScript what the interface `types` of `wit/plugin.wit` has, as componentize-qjs
//! passes it, and `plugin-sdk/python/sesame_contract.py` has it in Python, as componentize-py does, with the types of
//! `transformer`. With `SESAME_BLESS=1` this writes the files.

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

/// What Python has of a type, as componentize-py makes it.
mod python {
    use super::*;

    const HEAD: &str = "\"\"\"The contract's types, generated from `wit/plugin.wit`: what a plugin gets and gives.\"\"\"\n\n\
                        from __future__ import annotations\n\nimport dataclasses\nimport enum\nimport typing\n";

    /// Lines before what they are about.
    fn comment(docs: &Docs, indent: &str) -> String {
        let lines = docs.contents.as_deref().unwrap_or_default().trim().lines();
        lines.map(|line| format!("{indent}# {}", line.trim_end()).trim_end().to_owned() + "\n").collect()
    }

    fn of(resolve: &Resolve, given: &Type) -> String {
        match given {
            Type::String => "str".to_owned(),
            Type::U32 | Type::U64 => "int".to_owned(),
            Type::Id(id) => match (&resolve.types[*id].name, &resolve.types[*id].kind) {
                (Some(name), _) => camel(name, true),
                (None, kind) => whole(resolve, kind),
            },
            other => panic!("{other:?} has no type here yet"),
        }
    }

    fn whole(resolve: &Resolve, kind: &TypeDefKind) -> String {
        match kind {
            TypeDefKind::List(Type::U8) => "bytes".to_owned(),
            TypeDefKind::List(item) => format!("typing.List[{}]", of(resolve, item)),
            TypeDefKind::Option(some) => format!("typing.Optional[{}]", of(resolve, some)),
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|item| of(resolve, item)).collect();
                format!("typing.Tuple[{}]", types.join(", "))
            }
            other => panic!("{} has no type here yet", other.as_str()),
        }
    }

    fn class(name: &str, docs: &Docs, fields: &str) -> String {
        let fields = if fields.is_empty() { "    pass\n" } else { fields };
        format!("\n\n{}@dataclasses.dataclass\nclass {name}:\n{fields}", comment(docs, ""))
    }

    fn declaration(resolve: &Resolve, given: &TypeDef) -> String {
        let name = camel(given.name.as_deref().unwrap(), true);
        match &given.kind {
            TypeDefKind::Record(record) => {
                let field = |field: &wit_parser::Field| {
                    let name = field.name.replace('-', "_");
                    format!("{}    {name}: {}\n", comment(&field.docs, "    "), of(resolve, &field.ty))
                };
                class(&name, &given.docs, &record.fields.iter().map(field).collect::<String>())
            }
            TypeDefKind::Enum(cases) => {
                let mut text = format!("\n\n{}class {name}(enum.Enum):\n", comment(&given.docs, ""));
                for (at, case) in cases.cases.iter().enumerate() {
                    let word = case.name.replace('-', "_").to_uppercase();
                    let _ = writeln!(text, "{}    {word} = {at}", comment(&case.docs, "    "));
                }
                text
            }
            TypeDefKind::Variant(variant) => {
                let names = variant.cases.iter().map(|case| format!("{name}_{}", camel(&case.name, true)));
                let names: Vec<String> = names.collect();
                let classes = variant.cases.iter().zip(&names).map(|(case, name)| {
                    let value = case.ty.as_ref().map(|ty| format!("    value: {}\n", of(resolve, ty)));
                    class(name, &case.docs, &value.unwrap_or_default())
                });
                let classes: String = classes.collect();
                let docs = comment(&given.docs, "");
                format!("{classes}\n\n{docs}{name} = typing.Union[{}]\n", names.join(", "))
            }
            // One that another interface uses.
            TypeDefKind::Type(_) => String::new(),
            kind => format!("\n\n{}{name} = {}\n", comment(&given.docs, ""), whole(resolve, kind)),
        }
    }

    pub(super) fn all(resolve: &Resolve, interfaces: &[wit_parser::InterfaceId]) -> String {
        let types = interfaces.iter().flat_map(|id| resolve.interfaces[*id].types.values());
        types.fold(HEAD.to_owned(), |text, id| text + &declaration(resolve, &resolve.types[*id]))
    }
}

/// The file is what is generated; with `SESAME_BLESS` it is written.
fn compare(name: &str, generated: &str) {
    let file = repository().join(name);
    if std::env::var_os("SESAME_BLESS").is_some() {
        fs::write(&file, generated).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, generated, "generate it again: SESAME_BLESS=1 cargo test -p sesame-author --test declarations");
}

#[test]
fn the_types_for_python_are_those_of_the_contract() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap();
    let interfaces = ["types", "transformer"].map(|name| resolve.packages[package].interfaces[name]);
    compare("plugin-sdk/python/sesame_contract.py", &python::all(&resolve, &interfaces));
}

#[test]
fn the_types_for_typescript_are_those_of_the_contract() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap();
    let types = resolve.packages[package].interfaces["types"];
    let declarations = resolve.interfaces[types].types.values().map(|id| declaration(&resolve, &resolve.types[*id]));
    compare(
        "plugin-sdk/js/contract.d.ts",
        &declarations.fold(HEAD.to_owned(), |text, declaration| text + "\n" + &declaration),
    );
}
