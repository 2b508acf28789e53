//! The encoded fields and extensions of a certificate (RFC 5280 4.1), as far as OpenSSL's safe bindings do not expose
//! them.

use crate::asn1::{self, Asn1Error, Element, Reader, context, context_primitive, oid};

/// Object identifiers of extensions.
pub(crate) mod extension {
    use super::oid;

    pub(crate) const SUBJECT_KEY_IDENTIFIER: &[u8] = oid!("2.5.29.14");
    pub(crate) const BASIC_CONSTRAINTS: &[u8] = oid!("2.5.29.19");
    pub(crate) const CRL_NUMBER: &[u8] = oid!("2.5.29.20");
    pub(crate) const REASON_CODE: &[u8] = oid!("2.5.29.21");
    pub(crate) const HOLD_INSTRUCTION: &[u8] = oid!("2.5.29.23");
    pub(crate) const INVALIDITY_DATE: &[u8] = oid!("2.5.29.24");
    pub(crate) const DELTA_CRL_INDICATOR: &[u8] = oid!("2.5.29.27");
    pub(crate) const ISSUING_DISTRIBUTION_POINT: &[u8] = oid!("2.5.29.28");
    pub(crate) const CERTIFICATE_ISSUER: &[u8] = oid!("2.5.29.29");
    pub(crate) const NAME_CONSTRAINTS: &[u8] = oid!("2.5.29.30");
    pub(crate) const CRL_DISTRIBUTION_POINTS: &[u8] = oid!("2.5.29.31");
    pub(crate) const AUTHORITY_KEY_IDENTIFIER: &[u8] = oid!("2.5.29.35");
    /// Of RFC 3820.
    pub(crate) const PROXY_CERT_INFO: &[u8] = oid!("1.3.6.1.5.5.7.1.14");
    /// Of the drafts of RFC 3820.
    pub(crate) const DRAFT_PROXY_CERT_INFO: &[u8] = oid!("1.3.6.1.4.1.3536.1.222");
    /// The Netscape certificate type, an obsolete way to distinguish clients from servers.
    pub(crate) const NETSCAPE_TYPE: &[u8] = oid!("2.16.840.1.113730.1.1");
}

/// The fields of `TBSCertificate`.
#[derive(Clone, Copy, Debug)]
pub struct TbsCertificate<'a> {
    pub(crate) version: Option<Element<'a>>,
    pub serial: Element<'a>,
    pub issuer: Element<'a>,
    pub(crate) validity: Element<'a>,
    pub(crate) subject: Element<'a>,
    /// `SubjectPublicKeyInfo`.
    pub public_key: Element<'a>,
    pub(crate) issuer_id: Option<Element<'a>>,
    pub(crate) subject_id: Option<Element<'a>>,
    /// `[3] EXPLICIT SEQUENCE OF Extension`.
    pub(crate) extensions: Option<Element<'a>>,
}

impl<'a> TbsCertificate<'a> {
    /// Reads the fields of the certificate at the front of `reader`.
    ///
    /// # Errors
    /// [`Asn1Error`] if it does not have the structure of a certificate.
    pub fn read(mut reader: Reader<'a>) -> Result<Self, Asn1Error> {
        let mut fields = reader.take(asn1::SEQUENCE)?.inside().take(asn1::SEQUENCE)?.inside();
        let version = fields.optional(context(0))?;
        let serial = fields.take(asn1::INTEGER)?;
        let _signature_algorithm = fields.take(asn1::SEQUENCE)?;
        Ok(Self {
            version,
            serial,
            issuer: fields.take(asn1::SEQUENCE)?,
            validity: fields.take(asn1::SEQUENCE)?,
            subject: fields.take(asn1::SEQUENCE)?,
            public_key: fields.take(asn1::SEQUENCE)?,
            issuer_id: fields.optional(context_primitive(1))?,
            subject_id: fields.optional(context_primitive(2))?,
            extensions: fields.optional(context(3))?,
        })
    }
}

/// An extension of a certificate or a CRL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
    /// The encoded extension.
    pub(crate) whole: &'a [u8],
}

/// Reads `EXPLICIT SEQUENCE OF SEQUENCE { OID, BOOLEAN DEFAULT FALSE, OCTET STRING }`; empty if the field is absent.
pub(crate) fn extensions<'a>(field: Option<Element<'a>>) -> Result<Vec<Extension<'a>>, Asn1Error> {
    match field {
        Some(field) => extension_list(&field.inside().take(asn1::SEQUENCE)?),
        None => Ok(Vec::new()),
    }
}

/// Reads `SEQUENCE OF Extension`.
pub(crate) fn extension_list<'a>(sequence: &Element<'a>) -> Result<Vec<Extension<'a>>, Asn1Error> {
    let mut list = Vec::new();
    let mut reader = sequence.inside();
    while !reader.is_empty() {
        let extension = reader.take(asn1::SEQUENCE)?;
        let mut fields = extension.inside();
        let oid = fields.take(asn1::OID)?.content;
        let critical = fields.optional(asn1::BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
        let value = fields.take(asn1::OCTET_STRING)?.content;
        list.push(Extension { oid, critical, value, whole: extension.whole });
    }
    Ok(list)
}

/// The extensions of a certificate in DER.
pub(crate) fn extensions_of(certificate: &[u8]) -> Result<Vec<Extension<'_>>, Asn1Error> {
    extensions(TbsCertificate::read(Reader::der(certificate))?.extensions)
}

/// The value of one extension of a certificate in DER; `None` if it is absent.
pub(crate) fn extension_value<'a>(certificate: &'a [u8], oid: &[u8]) -> Result<Option<&'a [u8]>, Asn1Error> {
    Ok(extensions_of(certificate)?.into_iter().find(|extension| extension.oid == oid).map(|extension| extension.value))
}

/// Whether the basic constraints contain `CA:TRUE` (RFC 5280 4.2.1.9).
pub(crate) fn is_authority(certificate: &[u8]) -> bool {
    let Ok(Some(constraints)) = extension_value(certificate, extension::BASIC_CONSTRAINTS) else {
        return false;
    };
    let flag = Reader::der(constraints).take(asn1::SEQUENCE).and_then(|fields| fields.inside().optional(asn1::BOOLEAN));
    flag.is_ok_and(|flag| flag.is_some_and(|flag| flag.content != [0]))
}
