//! How a plugin lies in a registry.
//!
//! # Layout
//! The component is the artifact that `wkg` pushes: an image manifest whose config is of type
//! `application/vnd.wasm.config.v0+json` and whose only layer is `application/wasm`. `wkg` refuses a manifest with further
//! layers, so what belongs to the component lies beside it: sidecar, signatures and SBOM are layers of a second manifest,
//! whose `subject` is the first (OCI image specification 1.1, "Image Manifest"). The manifest of the component has the
//! digest of each of them as an annotation. So the one digest of the manifest pins all of them, and a pull needs no list of
//! referrers, which some registries do not have; the second manifest keeps the files from being collected as garbage, and
//! lets other tools find them.
//!
//! The same files always give the same digest: what is made here has no time in it.

use std::collections::BTreeMap;

use oci_client::annotations::{
    ORG_OPENCONTAINERS_IMAGE_DESCRIPTION, ORG_OPENCONTAINERS_IMAGE_TITLE, ORG_OPENCONTAINERS_IMAGE_VERSION,
};
use oci_client::manifest::{
    ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The media type of a component, by which it is found in a manifest.
pub const COMPONENT_TYPE: &str = "application/wasm";
/// The media type of the config beside a component.
pub const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// The artifact type of the second manifest.
pub const FILES_TYPE: &str = "application/vnd.sesame.plugin.files.v1";
/// The config of a manifest that needs none (OCI image specification 1.1, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const EMPTY: &[u8] = b"{}";
/// `created` is required in the config of `wkg`.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A file that belongs to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its settings, `NAME.toml`.
    Sidecar,
    /// The signature of the component, `NAME.wasm.p7s`.
    ComponentSignature,
    /// The signature of the sidecar, `NAME.toml.p7s`.
    SidecarSignature,
    /// What the component is made of, `NAME.cdx.json`.
    Sbom,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sidecar, Self::ComponentSignature, Self::SidecarSignature, Self::Sbom];

    /// What follows `NAME` in the name of the file.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Sidecar => ".toml",
            Self::ComponentSignature => ".wasm.p7s",
            Self::SidecarSignature => ".toml.p7s",
            Self::Sbom => ".cdx.json",
        }
    }

    /// Its name in messages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::ComponentSignature => "signature of the component",
            Self::SidecarSignature => "signature of the sidecar",
            Self::Sbom => "SBOM",
        }
    }

    /// The media type of its layer.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Sidecar => "application/toml",
            Self::ComponentSignature | Self::SidecarSignature => "application/pkcs7-signature",
            Self::Sbom => "application/vnd.cyclonedx+json",
        }
    }

    /// The annotation of the component's manifest that has its digest.
    #[must_use]
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Sidecar => "sesame.plugin.sidecar",
            Self::ComponentSignature => "sesame.plugin.component-signature",
            Self::SidecarSignature => "sesame.plugin.sidecar-signature",
            Self::Sbom => "sesame.plugin.sbom",
        }
    }

    /// The largest that is taken, in bytes: what the plugin folder takes.
    pub(crate) fn largest(self) -> u64 {
        match self {
            Self::Sidecar => 1 << 20,
            Self::ComponentSignature | Self::SidecarSignature => 256 << 10,
            Self::Sbom => 4 << 20,
        }
    }
}

/// A component to be pushed, or a WIT package encoded as one.
#[derive(Clone, Debug)]
pub struct Upload {
    /// `NAME` in the names of the files.
    pub name: String,
    /// Its version, for people.
    pub version: Option<String>,
    /// One line on what it does.
    pub summary: Option<String>,
    /// The names of its imports.
    pub imports: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// Its bytes.
    pub component: Vec<u8>,
    /// What belongs to it; empty files are left out.
    pub files: BTreeMap<Part, Vec<u8>>,
}

/// The digest of content, as descriptors have it.
pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", message::hex(&Sha256::digest(content)))
}

impl Upload {
    /// The config of the component's manifest.
    pub(crate) fn config(&self) -> Vec<u8> {
        let config = json!({
            "created": CREATED, "author": null, "architecture": "wasm", "os": "wasip2",
            "layerDigests": [digest(&self.component)],
            "component": { "exports": self.exports, "imports": self.imports, "target": null },
        });
        config.to_string().into_bytes()
    }

    /// The manifest of the component.
    pub(crate) fn manifest(&self) -> OciImageManifest {
        let title = format!("{}.wasm", self.name);
        let mut annotations = BTreeMap::new();
        let described =
            [(ORG_OPENCONTAINERS_IMAGE_VERSION, &self.version), (ORG_OPENCONTAINERS_IMAGE_DESCRIPTION, &self.summary)];
        for (key, text) in described {
            annotations.extend(text.clone().map(|text| (key.to_owned(), text)));
        }
        let digests = self.files.iter().map(|(part, content)| (part.annotation().to_owned(), digest(content)));
        annotations.extend(digests);
        OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: descriptor(CONFIG_TYPE, &self.config(), None),
            layers: vec![descriptor(COMPONENT_TYPE, &self.component, Some(title))],
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..OciImageManifest::default()
        }
    }

    /// The manifest of what belongs to the component, whose manifest is `subject`.
    pub(crate) fn files_manifest(&self, subject: OciDescriptor) -> OciImageManifest {
        let layer = |(part, content): (&Part, &Vec<u8>)| {
            descriptor(part.media_type(), content, Some(format!("{}{}", self.name, part.ending())))
        };
        OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            artifact_type: Some(FILES_TYPE.to_owned()),
            config: descriptor(EMPTY_TYPE, EMPTY, None),
            layers: self.files.iter().map(layer).collect(),
            subject: Some(subject),
            ..OciImageManifest::default()
        }
    }
}

/// The descriptor of content.
pub(crate) fn descriptor(media_type: &str, content: &[u8], title: Option<String>) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.to_owned(),
        digest: digest(content),
        size: i64::try_from(content.len()).unwrap_or(i64::MAX),
        annotations: title.map(|title| BTreeMap::from([(ORG_OPENCONTAINERS_IMAGE_TITLE.to_owned(), title)])),
        ..OciDescriptor::default()
    }
}

/// The index of referrers with one more, for registries that keep none (OCI distribution specification 1.1, "Referrers Tag
/// Schema").
pub(crate) fn index_with(mut index: OciImageIndex, files: &[u8]) -> OciImageIndex {
    index.media_type = Some(OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned());
    index.manifests.push(ImageIndexEntry {
        media_type: OCI_IMAGE_MEDIA_TYPE.to_owned(),
        digest: digest(files),
        size: i64::try_from(files.len()).unwrap_or(i64::MAX),
        platform: None,
        annotations: None,
        artifact_type: Some(FILES_TYPE.to_owned()),
    });
    index
}
