//! Authority key identifiers that name another certificate of the issuer: RFC 5280 section 6 does not use them.

use super::*;

/// `AuthorityKeyIdentifier { [1] { [4] name }, [2] serial }` (RFC 5280 4.2.1.1) of a certificate that does not exist.
fn elsewhere(name: &X509Ref) -> (String, bool, Vec<u8>) {
    let name = asn1::encode(asn1::context(1), &asn1::encode(asn1::context(4), &name.issuer_name().to_der().unwrap()));
    let serial = asn1::encode(asn1::context_primitive(2), &[0x63]);
    ("2.5.29.35".to_owned(), false, asn1::encode(asn1::SEQUENCE, &[name, serial].concat()))
}

/// A host certificate whose identifier names another certificate of its issuer.
fn issued_before(authority: &Authority, change: impl FnOnce(&mut Request)) -> Issued {
    let identifier = elsewhere(&authority.own.certificate);
    let request = host(|r| (r.extensions.push(identifier), change(r)).1);
    authority.issue(&request).unwrap()
}

/// The same authority, reissued with the same name and key and another serial number.
fn again(authority: &Authority, request: &Request) -> Authority {
    let by_itself =
        Authority::with(Issued { certificate: authority.own.certificate.clone(), key: authority.own.key.clone() });
    let certificate = by_itself.certify(request, &authority.own.key).unwrap();
    Authority::with(Issued { certificate, key: authority.own.key.clone() })
}

#[test]
fn an_anchor_reissued_with_its_name_and_key_is_an_issuer() {
    let world = World::new();
    let leaf = issued_before(&world.root, |_| {});
    assert_eq!(world.root.own.certificate.issued(&leaf.certificate).as_raw(), 31, "OpenSSL says otherwise");
    assert_eq!(world.code(&leaf), "good");
    let renewed = again(&world.root, &Request::authority(ROOT));
    world.directory.add_authority(&renewed.own.certificate).unwrap();
    assert_eq!(world.code(&leaf), "good");
}

#[test]
fn a_reissued_intermediate_is_an_issuer() {
    let world = World::new();
    let sub = world.root.intermediate(&sub(|_| {})).unwrap();
    let identifier = elsewhere(&world.root.own.certificate);
    let certificate = world.root.certify(&super::sub(|r| r.extensions.push(identifier)), &sub.own.key).unwrap();
    let renewed = Authority::with(Issued { certificate, key: sub.own.key.clone() });
    let leaf = issued_before(&sub, |_| {});
    for issuer in [&sub, &renewed] {
        let checked = world.check_with(&leaf, &[issuer]);
        assert_eq!(checked.as_ref().map(|path| path.certificates().len()).map_err(PathError::code), Ok(3));
    }
}

#[test]
fn an_anchor_may_name_an_earlier_certificate_of_itself() {
    let world = World::new();
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    let identifier = elsewhere(&world.root.own.certificate);
    let renewed = again(&world.root, &Request { extensions: vec![identifier], ..Request::authority(ROOT) });
    let alone = Directory::create(world.directory.path().join("alone")).unwrap();
    alone.add_authority(&renewed.own.certificate).unwrap();
    let store = TrustStore::load(&TrustSettings::new(alone.path())).unwrap();
    assert_eq!(store.anchor_count(), 1);
    let checked = store.check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now());
    assert_eq!(code(checked), "good");
}

#[test]
fn name_and_signature_still_decide() {
    let world = World::new();
    let namesake = Authority::root(&Request::authority(ROOT)).unwrap();
    assert_eq!(world.code(&issued_before(&namesake, |_| {})), "bad-signature");
    let stranger = Authority::root(&Request::authority("/O=Stranger/CN=Root")).unwrap();
    assert_eq!(world.code(&issued_before(&stranger, |_| {})), "untrusted");
    let (renewed, other) =
        (again(&namesake, &Request::authority(ROOT)), Directory::create(world.directory.path().join("b")).unwrap());
    other.add_authority(&renewed.own.certificate).unwrap();
    let store = TrustStore::load(&TrustSettings::new(other.path())).unwrap();
    let leaf = issued_before(&world.root, |_| {});
    assert_eq!(code(store.check_path(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now())), "bad-signature");
}

#[test]
fn every_other_rule_applies_with_a_foreign_identifier() {
    // NameConstraints { [1] excludedSubtrees { [2] dNSName "example.org" } }
    let subtree = asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::context_primitive(2), b"example.org"));
    let constraints = asn1::encode(asn1::SEQUENCE, &asn1::encode(asn1::context(1), &subtree));
    let constrained = World::with_root(&Request {
        extensions: vec![("2.5.29.30".to_owned(), true, constraints)],
        ..Request::authority(ROOT)
    });
    let named = |name: &str| {
        let leaf = issued_before(&constrained.root, |r| r.dns = vec![name.to_owned()]);
        constrained.check(&leaf).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(named("mq.example.net"), Ok(()));
    let excluded = named("mq.example.org").unwrap_err();
    assert!(excluded.contains("a name constraint of an issuer excludes one of its names"), "{excluded}");

    let world = World::new();
    let verdict = |change: fn(&mut Request)| world.code(&issued_before(&world.root, change));
    assert_eq!(verdict(|r| r.extensions.push(("1.2.3.4".into(), true, vec![5, 0]))), "invalid");
    assert_eq!(verdict(|r| r.not_after = -1), "expired");
    assert_eq!(verdict(|r| r.digest = Digest::Sha1), "weak-signature");
    assert_eq!(verdict(|r| r.purposes = purposes(&["codeSigning"])), "eku");

    let narrow =
        World::with_root(&Request { constraints: Some(Constraints::Authority(Some(0))), ..Request::authority(ROOT) });
    let sub = narrow.root.intermediate(&sub(|_| {})).unwrap();
    assert_eq!(code(narrow.check_with(&issued_before(&sub, |_| {}), &[&sub])), "invalid");
    let revoked = issued_before(&world.root, |_| {});
    world.add_crl(&[&revoked.certificate], &CrlRequest::default());
    assert_eq!(world.code(&revoked), "revoked");
}

#[test]
fn an_issuer_without_the_right_to_sign_is_named() {
    let world = World::with_root(&Request { key_usage: Some(X509KeyUsage::CRL_SIGN), ..Request::authority(ROOT) });
    let error = world.check(&world.root.issue(&host(|_| {})).unwrap()).unwrap_err();
    assert_eq!(error.code(), "invalid");
    assert!(error.to_string().contains("no keyCertSign"), "{error}");
}

#[test]
fn faults_of_our_certificate_and_of_our_directory_are_distinguished() {
    let world = World::new();
    let fault = |issued: &Issued| {
        let fault = world.store().check_own(&issued.certificate, &[], Role::MessageSigner, SystemTime::now());
        fault.map_err(|fault| (word(&fault.error), fault.elsewhere))
    };
    let own = |change: fn(&mut Request)| fault(&world.root.issue(&host(change)).unwrap());
    assert_eq!(own(|_| {}), Ok(()));
    assert_eq!(own(|r| r.not_after = -1), Err(("expired", true)));
    assert_eq!(own(|r| r.not_before = 60), Err(("not-yet-valid", true)));
    assert_eq!(own(|r| r.key_usage = Some(X509KeyUsage::KEY_ENCIPHERMENT)), Err(("keyusage", true)));
    assert_eq!(own(|r| r.purposes = purposes(&["codeSigning"])), Err(("eku", true)));
    assert_eq!(own(|r| r.digest = Digest::Sha1), Err(("weak-signature", false)));
    let stranger = Authority::root(&Request::authority("/O=Stranger/CN=Root")).unwrap();
    assert_eq!(fault(&stranger.issue(&host(|_| {})).unwrap()), Err(("untrusted", false)));
    assert_eq!(fault(&stranger.issue(&host(|r| r.not_after = -1)).unwrap()), Err(("expired", true)));
    let revoked = world.root.issue(&host(|_| {})).unwrap();
    world.add_crl(&[&revoked.certificate], &CrlRequest::default());
    assert_eq!(fault(&revoked), Err(("revoked", true)));
    world.directory.add_policy(&world.root.own.certificate, &["/C=FR/*"]).unwrap();
    assert_eq!(own(|_| {}), Err(("namespace", true)));
}

#[test]
fn an_anchor_that_has_expired_here_does_not_affect_others() {
    let world = World::with_root(&Request { not_after: -1, ..Request::authority(ROOT) });
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    let fault = world.store().check_own(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now()).unwrap_err();
    assert_eq!((word(&fault.error), fault.elsewhere), ("expired", false));
}

#[test]
fn a_fault_that_others_find_is_not_hidden_by_an_expired_authority() {
    let world = World::new();
    let day = 86_400;
    let ended = again(&world.root, &Request { not_before: -20 * day, not_after: -day, ..Request::authority(ROOT) });
    world.directory.add_authority(&ended.own.certificate).unwrap();
    let leaf = world.root.issue(&host(|_| {})).unwrap();
    let fault = || world.store().check_own(&leaf.certificate, &[], Role::MessageSigner, SystemTime::now());
    assert!(fault().is_ok());
    world.directory.add_policy(&world.root.own.certificate, &["/C=FR/*"]).unwrap();
    assert_eq!(world.code(&leaf), "expired", "the most useful reason is another");
    let fault = fault().unwrap_err();
    assert_eq!((word(&fault.error), fault.elsewhere), ("namespace", true));
}
