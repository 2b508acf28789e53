//! A snapshot of the CA directory as octets, for a process of ours that opens no files.
//!
//! Only public data is in it: certificates, CRLs, signing policies, and the names of their files for the texts of errors.
//! Warnings stay behind: the process that read the files shows them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use message::wire::{Malformed, Reader, Writer};
use openssl::x509::X509;

use super::super::{Authority, BrokenCrl, Material, TrustSettings};
use super::Anchors;
use crate::DistinguishedName;
use crate::crls::{Crl, CrlError, CrlMode};

const MODES: [CrlMode; 3] = [CrlMode::Require, CrlMode::IfPresent, CrlMode::Ignore];

impl Anchors {
    /// Writes what [`read`](Self::read) reads.
    pub(crate) fn write(&self, writer: &mut Writer) {
        let Self { settings, authorities, by_subject: _, crls, broken_crls, policies, unusable_policies, warnings: _ } =
            self;
        write_settings(settings, writer);
        writer.list(authorities.iter(), |writer, authority| {
            write_path(writer, &authority.file).octets(&authority.der).flag(authority.self_signed)
        });
        let crls: Vec<&Arc<Crl>> = crls.values().flatten().collect();
        writer.list(crls.iter(), |writer, crl| write_path(writer, &crl.file).octets(crl.der()));
        writer.list(broken_crls.iter(), |writer, broken| {
            write_path(writer, &broken.file).optional(broken.hash, |writer, hash| writer.number(u64::from(hash)));
            writer.optional(broken.issuer.as_ref(), |writer, issuer| writer.text(&issuer.rfc4514()));
            writer.text(&broken.reason.to_string())
        });
        writer.list(policies.iter(), |writer, (authority, patterns)| {
            writer.text(&authority.rfc4514()).list(patterns.iter(), |writer, pattern| writer.text(pattern))
        });
        writer.list(unusable_policies.iter(), |writer, (hash, file)| write_path(writer.number(u64::from(*hash)), file));
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let settings = read_settings(reader)?;
        let material = Material {
            authorities: reader.list(read_authority)?,
            crls: reader.list(|reader| {
                let file = read_path(reader)?;
                Crl::from_der(&file, reader.octets()?.to_vec()).map(Arc::new).map_err(|_| Malformed)
            })?,
            broken_crls: reader.list(|reader| {
                Ok(BrokenCrl {
                    file: read_path(reader)?,
                    hash: reader.optional(read_hash)?,
                    issuer: reader.optional(Reader::text)?.and_then(|name| DistinguishedName::parse_comma(name).ok()),
                    reason: CrlError::Reported(reader.text()?.to_owned()),
                })
            })?,
            policies: reader.list(read_policy)?.into_iter().collect::<HashMap<_, _>>(),
            unusable_policies: reader
                .list(|reader| Ok((read_hash(reader)?, read_path(reader)?)))?
                .into_iter()
                .collect(),
            warnings: Vec::new(),
        };
        Ok(Self::from_material(settings, material))
    }
}

fn read_authority(reader: &mut Reader<'_>) -> Result<Authority, Malformed> {
    let (file, der, self_signed) = (read_path(reader)?, reader.octets()?, reader.flag()?);
    let certificate = X509::from_der(der).map_err(|_| Malformed)?;
    let subject = DistinguishedName::from_x509(certificate.subject_name()).map_err(|_| Malformed)?;
    Ok(Authority { certificate, der: der.to_vec(), subject, file, self_signed })
}

fn read_policy(reader: &mut Reader<'_>) -> Result<(DistinguishedName, Vec<String>), Malformed> {
    let authority = DistinguishedName::parse_comma(reader.text()?).map_err(|_| Malformed)?;
    Ok((authority, reader.list(|reader| reader.text().map(str::to_owned))?))
}

fn read_hash(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.number()?).map_err(|_| Malformed)
}

fn write_settings(settings: &TrustSettings, writer: &mut Writer) {
    let TrustSettings { anchors, crls, signing_policy, allow_sha1_digest } = settings;
    writer.list(anchors.iter(), |writer, path| write_path(writer, path));
    let mode = MODES.iter().position(|mode| mode == crls).unwrap_or_default();
    writer.number(mode as u64).flag(*signing_policy).flag(*allow_sha1_digest);
}

fn read_settings(reader: &mut Reader<'_>) -> Result<TrustSettings, Malformed> {
    Ok(TrustSettings {
        anchors: reader.list(read_path)?,
        crls: *MODES.get(reader.count()?).ok_or(Malformed)?,
        signing_policy: reader.flag()?,
        allow_sha1_digest: reader.flag()?,
    })
}

fn write_path<'w>(writer: &'w mut Writer, path: &Path) -> &'w mut Writer {
    writer.octets(path.as_os_str().as_bytes())
}

fn read_path(reader: &mut Reader<'_>) -> Result<PathBuf, Malformed> {
    Ok(OsStr::from_bytes(reader.octets()?).into())
}
