//! Certificate revocation lists: missing, stale, forged, replaced.

use super::*;

#[test]
fn revoked_certificates_are_refused_by_serial_and_crl() {
    let world = World::new();
    let (good, revoked) = (world.root.issue(&host(|_| {})).unwrap(), world.root.issue(&host(|_| {})).unwrap());
    world.add_crl(&[&revoked.certificate], &CrlRequest::default());
    assert_eq!(world.code(&good), "good");
    let error = world.check(&revoked).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, PathError::Revoked { serial, .. } if serial == "1001"), "{error:?}");
    assert!(text.contains(HOST) && text.contains("serial 1001") && text.contains(".r0"), "{text}");
    assert_eq!(world.store().crls()[0].revoked, 1);
}

#[test]
fn crl_modes_differ_if_there_is_no_crl() {
    let mut world = World::new();
    for (mode, expected) in [(CrlMode::Require, "crl-missing"), (CrlMode::IfPresent, "good"), (CrlMode::Ignore, "good")]
    {
        world.settings.crls = mode;
        assert_eq!(world.verdict(|_| {}), expected, "{mode:?}");
    }
    world.add_crl(&[], &CrlRequest::default());
    world.settings.crls = CrlMode::Require;
    assert_eq!(world.verdict(|_| {}), "good");
}

#[test]
fn stale_crls_block_their_authority() {
    for (request, expected) in [
        (CrlRequest { next_update: Some(-60), this_update: -3600, ..CrlRequest::default() }, "crl-stale"),
        (CrlRequest { next_update: None, ..CrlRequest::default() }, "crl-stale"),
        (CrlRequest { this_update: 3600, ..CrlRequest::default() }, "crl-not-yet-valid"),
        (CrlRequest { digest: Digest::Sha1, ..CrlRequest::default() }, "crl-unusable"),
        (CrlRequest { digest: Digest::Md5, ..CrlRequest::default() }, "crl-unusable"),
    ] {
        let mut world = World::with_root(&Request { key: KeyKind::Rsa(2048), ..Request::authority(ROOT) });
        world.add_crl(&[], &request);
        for (mode, expected) in
            [(CrlMode::Require, expected), (CrlMode::IfPresent, expected), (CrlMode::Ignore, "good")]
        {
            world.settings.crls = mode;
            assert_eq!(world.verdict(|_| {}), expected, "{request:?} {mode:?}");
        }
    }
}

#[test]
fn weakly_signed_crls_are_reported() {
    let mut world = World::with_root(&Request { key: KeyKind::Rsa(2048), ..Request::authority(ROOT) });
    world.add_crl(&[], &CrlRequest { digest: Digest::Sha1, ..CrlRequest::default() });
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    assert!(world.check(&leaf).unwrap_err().to_string().contains("it is signed with RSA with SHA-1"));
    world.settings.allow_sha1_digest = true;
    assert_eq!(world.code(&leaf), "good");
}

#[test]
fn crls_are_verified_with_every_kind_of_key() {
    for key in [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::Ed25519] {
        let mut world = World::with_root(&Request { key, ..Request::authority(ROOT) });
        world.settings.crls = CrlMode::Require;
        let leaf = world.root.issue(&host(|_| {})).unwrap();
        world.add_crl(&[], &CrlRequest::default());
        assert_eq!(world.code(&leaf), "good", "{key:?}");
        let newer = CrlRequest { this_update: -60, ..CrlRequest::default() };
        world.add_crl(&[&leaf.certificate], &newer);
        assert_eq!(world.code(&leaf), "revoked", "{key:?}");
    }
}

#[test]
fn a_tampered_crl_is_refused() {
    let world = World::new();
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    let mut crl = world.root.crl(&[&leaf.certificate], &CrlRequest::default()).unwrap();
    let at = crl.windows(4).position(|bytes| bytes == [2, 2, 0x10, 0]).unwrap();
    crl[at + 3] = 1;
    world.directory.add_crl(&world.root.own.certificate, &crl).unwrap();
    assert_eq!(world.code(&leaf), "crl-unusable");
}

#[test]
fn crls_are_fresh_by_the_current_time() {
    let world = World::new();
    let leaf = world.root.issue(&host(|r| r.not_before = -10 * 86_400)).unwrap();
    world.add_crl(&[], &CrlRequest { next_update: Some(3600), ..CrlRequest::default() });
    let store = world.store();
    let at = |at| code(store.check_path(&leaf.certificate, &[], Role::MessageSigner, at));
    let now = SystemTime::now();
    assert_eq!(at(now - Duration::from_secs(12 * 3600)), "good");
    assert_eq!(at(now + Duration::from_secs(1800)), "good");
    assert_eq!(at(now + Duration::from_secs(7200)), "crl-stale");
}

#[test]
fn revocation_of_an_intermediate_is_enforced() {
    let mut world = World::new();
    let middle = world.root.intermediate(&sub(|_| {})).unwrap();
    let leaf = middle.issue(&host(|_| {})).unwrap();
    world.directory.add_authority(&middle.own.certificate).unwrap();
    world.add_crl(&[&middle.own.certificate], &CrlRequest::default());
    assert_eq!(world.code(&leaf), "revoked");
    let other = World::new();
    let middle = other.root.intermediate(&sub(|_| {})).unwrap();
    let leaf = middle.issue(&host(|_| {})).unwrap();
    other.add_crl(&[], &CrlRequest::default());
    world = other;
    world.settings.crls = CrlMode::Require;
    assert_eq!(code(world.check_with(&leaf, &[&middle])), "crl-missing");
    let crl = middle.crl(&[&leaf.certificate], &CrlRequest::default()).unwrap();
    world.directory.add_crl(&middle.own.certificate, &crl).unwrap();
    assert_eq!(code(world.check_with(&leaf, &[&middle])), "revoked");
}

#[test]
fn a_crl_of_another_authority_is_refused() {
    let world = World::new();
    let namesake = Authority::root(&Request::authority(ROOT)).unwrap();
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    let crl = namesake.crl(&[], &CrlRequest::default()).unwrap();
    world.directory.add_crl(&namesake.own.certificate, &crl).unwrap();
    let error = world.check(&leaf).unwrap_err();
    assert!(matches!(&error, PathError::CrlUnusable { reason, .. } if reason.contains("not signed by")), "{error}");
    world.directory.add_authority(&namesake.own.certificate).unwrap();
    assert_eq!(world.code(&leaf), "good");
    world.add_crl(&[&leaf.certificate], &CrlRequest::default());
    assert_eq!(world.code(&leaf), "revoked");
}

#[test]
fn a_crl_under_the_name_of_another_authority_blocks_that_one() {
    let other = Authority::root(&Request::authority("/CN=Other")).unwrap();
    for (mode, expected) in
        [(CrlMode::Require, "crl-unusable"), (CrlMode::IfPresent, "crl-unusable"), (CrlMode::Ignore, "good")]
    {
        let mut world = World::new();
        world.settings.crls = mode;
        let leaf = world.root.issue(&host(|_| {})).unwrap();
        let crl = other.crl(&[], &CrlRequest::default()).unwrap();
        world.directory.add_crl(&world.root.own.certificate, &crl).unwrap();
        assert_eq!(world.code(&leaf), expected, "{mode:?}");
        let warnings = world.store().warnings(SystemTime::now());
        assert_eq!(warnings.iter().any(|text| text.contains("CN=Other")), mode != CrlMode::Ignore, "{warnings:?}");
    }
}

#[test]
fn a_crl_that_is_replaced_by_one_of_another_authority_stays_in_use() {
    let world = World::new();
    let other = Authority::root(&Request::authority("/CN=Other")).unwrap();
    world.directory.add_authority(&other.own.certificate).unwrap();
    let (good, revoked) = (world.root.issue(&host(|_| {})).unwrap(), world.root.issue(&host(|_| {})).unwrap());
    world.add_crl(&[&revoked.certificate], &CrlRequest::default());
    let trust = Trust::load(&world.settings).unwrap();
    let file = trust.snapshot().crls()[0].file.clone();
    let check = |leaf: &Issued| {
        code(trust.snapshot().check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now()))
    };
    for round in 0..3 {
        let this_update = -100 - round;
        fs::write(&file, other.crl(&[], &CrlRequest { this_update, ..CrlRequest::default() }).unwrap()).unwrap();
        let refreshed = trust.refresh();
        let said = matches!(&refreshed, Refreshed::Replaced(warnings) if warnings[0].contains("stays in use"));
        assert!(said, "{refreshed:?}");
        assert_eq!((check(&good), check(&revoked)), ("good", "revoked"));
    }
    // A new one of the right authority replaces it.
    let own = world.root.crl(&[&good.certificate], &CrlRequest { this_update: -1, ..CrlRequest::default() }).unwrap();
    fs::write(&file, &own).unwrap();
    trust.refresh();
    assert_eq!(check(&good), "revoked");
}

#[test]
fn an_authority_that_may_not_sign_crls_does_not() {
    let mut request = Request::authority(ROOT);
    request.key_usage = Some(X509KeyUsage::KEY_CERT_SIGN);
    let world = World::with_root(&request);
    world.add_crl(&[], &CrlRequest::default());
    assert_eq!(world.verdict(|_| {}), "crl-unusable");
}

#[test]
fn delta_indirect_and_unknown_crls_block_their_authority() {
    let reason_only = asn1::encode(asn1::SEQUENCE, &[0x83, 2, 0, 1]);
    let indirect = asn1::encode(asn1::SEQUENCE, &[0x84, 1, 0xff]);
    for (oid, value, words) in [
        ("2.5.29.27", vec![2, 1, 1], "delta"),
        ("2.5.29.28", indirect, "indirect"),
        ("2.5.29.28", reason_only, "some reasons"),
        ("1.2.3.4", vec![5, 0], "critical extension"),
    ] {
        let world = World::new();
        world.add_crl(&[], &CrlRequest { extensions: vec![(oid.into(), true, value)], ..CrlRequest::default() });
        let error = world.check(&world.root.issue(&host(|_| {})).unwrap()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(world.store().warnings(SystemTime::now()).iter().any(|warning| warning.contains(words)));
    }
}

#[test]
fn distribution_points_scope_a_crl() {
    let uri = |text: &str| asn1::encode(asn1::context_primitive(6), text.as_bytes());
    let full = |names: &[u8]| asn1::encode(asn1::context(0), &asn1::encode(asn1::context(0), names));
    let points = |names: &[&str]| {
        let list: Vec<u8> = names.iter().flat_map(|name| asn1::encode(asn1::SEQUENCE, &full(&uri(name)))).collect();
        ("2.5.29.31".to_owned(), false, asn1::encode(asn1::SEQUENCE, &list))
    };
    let mut world = World::new();
    world.settings.crls = CrlMode::Require;
    let scope = asn1::encode(asn1::SEQUENCE, &full(&uri("http://b/")));
    let leaf = |names: &[&str]| world.root.issue(&host(|r| r.extensions.push(points(names)))).unwrap();
    let (revoked, good, other) = (leaf(&["http://a/", "http://b/"]), leaf(&["http://b/"]), leaf(&["http://c/"]));
    let extensions = vec![("2.5.29.28".into(), true, scope), (CRL_NUMBER.0.into(), CRL_NUMBER.1, CRL_NUMBER.2.into())];
    world.add_crl(&[&revoked.certificate], &CrlRequest { extensions, ..CrlRequest::default() });
    assert_eq!(world.code(&revoked), "revoked");
    assert_eq!(world.code(&good), "good");
    assert_eq!(world.code(&other), "crl-missing");
}

#[test]
fn a_replaced_crl_is_noticed() {
    let world = World::new();
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    world.add_crl(&[], &CrlRequest::default());
    let trust = Trust::load(&world.settings).unwrap();
    let verdict = || code(trust.snapshot().check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now()));
    assert_eq!(verdict(), "good");
    assert!(matches!(trust.refresh(), Refreshed::Unchanged));
    let file = trust.snapshot().crls()[0].file.clone();
    let crl = world.root.crl(&[&leaf.certificate], &CrlRequest::default()).unwrap();
    fs::write(&file, crl).unwrap();
    assert!(matches!(trust.refresh(), Refreshed::Replaced(_)));
    assert_eq!(verdict(), "revoked");
    fs::write(&file, "half").unwrap();
    assert!(matches!(trust.refresh(), Refreshed::Replaced(warnings) if warnings[0].contains("stays in use")));
    assert_eq!(verdict(), "revoked");
    fs::remove_file(&file).unwrap();
    trust.refresh();
    assert_eq!(verdict(), "good");
}
