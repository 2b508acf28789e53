//! The stock plugins: ordinary components, embedded in the program. Their sources and the script that builds them are
//! in `plugins/`.

/// The prefix of a stock plugin's name in a pipeline.
pub(crate) const PREFIX: &str = "builtin:";

/// The one that lets every message through as it is, as a pipeline names it. It runs where nothing else is chosen.
pub const PASSTHROUGH: &str = "builtin:passthrough";

macro_rules! stock {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../../plugins/", $name, ".wasm")))),+]
    };
}

const STOCK: &[(&str, &[u8])] = stock![
    "passthrough",
    "any-record",
    "job-records",
    "summary-records",
    "sync-records",
    "cloud-records",
    "accelerator-records",
    "star-records",
    "usage-records",
    "site-binding",
    "split-records",
    "salvage-records",
    "pseudonymise",
    "set-fields",
    "route-by-type",
];

/// The component of `builtin:NAME`, by NAME.
pub(crate) fn find(name: &str) -> Option<&'static [u8]> {
    STOCK.iter().find(|(stock, _)| *stock == name).map(|(_, bytes)| *bytes)
}

/// The component of a plugin that is named as in a pipeline, `builtin:NAME`; none if the name is that of a file.
#[must_use]
pub fn component(name: &str) -> Option<Option<&'static [u8]>> {
    name.strip_prefix(PREFIX).map(find)
}

/// The names of all stock plugins, without the prefix.
pub fn names() -> impl Iterator<Item = &'static str> {
    STOCK.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_of_the_folder_is_embedded() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut there: Vec<String> = files
            .filter(|path| path.join("Cargo.toml").is_file())
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect();
        let mut known: Vec<&str> = names().collect();
        there.sort();
        known.sort_unstable();
        assert_eq!(known, there);
    }
}
