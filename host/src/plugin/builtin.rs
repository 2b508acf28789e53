//! The stock plugins: ordinary components, embedded in the program. Their sources and the script that builds them are
//! in `plugins/`.

/// How a stock plugin is named in a pipeline.
pub(super) const PREFIX: &str = "builtin:";

const STOCK: [(&str, &[u8]); 1] = [("passthrough", include_bytes!("../../../plugins/passthrough.wasm"))];

/// The component of `builtin:NAME`, by NAME.
pub(super) fn find(name: &str) -> Option<&'static [u8]> {
    STOCK.iter().find(|(stock, _)| *stock == name).map(|(_, bytes)| *bytes)
}

/// The names of all stock plugins, without the prefix.
pub fn names() -> impl Iterator<Item = &'static str> {
    STOCK.iter().map(|(name, _)| *name)
}
