//! The cache folder: what is kept, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::component::engine::engine;

/// The smallest component there is.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
const DIGEST: [u8; 32] = [7; 32];

fn compiler(folder: &std::path::Path) -> Compiler {
    Compiler::new(CompileSettings { cache: Some(folder.to_owned()), ..CompileSettings::default() })
}

fn artefact_in(folder: &std::path::Path) -> PathBuf {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).next().unwrap()
}

#[test]
fn creates_a_private_folder_and_finds_what_it_stored() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("a/b");
    let (compiler, engine) = (compiler(&folder), engine().unwrap());
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    compiler.compile(&[&engine], EMPTY, &DIGEST, Trust::Foreign, "p").unwrap();
    // Garbage in place of the component: only the cache can answer now.
    compiler.compile(&[&engine], b"garbage", &DIGEST, Trust::Foreign, "p").unwrap();
    assert_eq!(fs::metadata(artefact_in(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn replaces_a_damaged_artefact() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("cache");
    let (compiler, engine) = (compiler(&folder), engine().unwrap());
    compiler.compile(&[&engine], EMPTY, &DIGEST, Trust::Foreign, "p").unwrap();
    let path = artefact_in(&folder);
    let whole = fs::read(&path).unwrap();
    for damaged in [&[][..], &whole[..20], &whole[..whole.len() - 1]] {
        fs::write(&path, damaged).unwrap();
        compiler.compile(&[&engine], EMPTY, &DIGEST, Trust::Foreign, "p").unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), whole.len());
    }
}

#[test]
fn a_file_not_used_for_ninety_days_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("cache");
    let engine = engine().unwrap();
    let compile = |bytes: &[u8]| compiler(&folder).compile(&[&engine], bytes, &DIGEST, Trust::Foreign, "p").is_ok();
    let age = |days: u64| {
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400 + 60);
        fs::File::open(artefact_in(&folder)).unwrap().set_modified(then).unwrap();
    };
    assert!(compile(EMPTY));
    age(89);
    assert!(compile(b"garbage"), "the cache is used, and its use recorded");
    assert!(artefact_in(&folder).metadata().unwrap().modified().unwrap().elapsed().unwrap().as_secs() < 60);
    age(90);
    assert!(!compile(b"garbage"), "it is gone");
}

#[test]
fn ignores_an_artefact_that_others_may_write() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("cache");
    let (compiler, engine) = (compiler(&folder), engine().unwrap());
    compiler.compile(&[&engine], EMPTY, &DIGEST, Trust::Foreign, "p").unwrap();
    fs::set_permissions(artefact_in(&folder), fs::Permissions::from_mode(0o666)).unwrap();
    let error = compiler.compile(&[&engine], b"garbage", &DIGEST, Trust::Foreign, "p").err().unwrap();
    assert!(matches!(error, ComponentError::Malformed(_)), "{error}");
}

#[test]
fn refuses_a_folder_that_is_open_to_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let settings = CompileSettings { cache: Some(folder.path().to_owned()), ..CompileSettings::default() };
    assert!(Compiler::new(settings).kept.is_empty(), "the cache is not used");
    let error = Cache::open(folder.path()).err().unwrap();
    assert!(matches!(error, CacheError::Open { mode: 0o750, .. }), "{error}");
}

#[test]
fn a_program_that_cannot_be_run_is_named() {
    let program = Some(PathBuf::from("/nonexistent/sesame"));
    let compiler = Compiler::new(CompileSettings { program, ..CompileSettings::default() });
    let engine = engine().unwrap();
    let error = compiler.compile(&[&engine], EMPTY, &DIGEST, Trust::Foreign, "p").err().unwrap();
    assert!(error.to_string().contains("cannot run /nonexistent/sesame"), "{error}");
    assert!(compiler.compile(&[&engine], EMPTY, &DIGEST, Trust::BuiltIn, "p").is_ok());
}

#[test]
fn what_another_command_of_this_user_has_compiled_is_not_compiled_again() {
    let home = tempfile::tempdir().unwrap();
    let folder = |name: &str| home.path().join(name);
    let engine = engine().unwrap();
    compiler(&folder("service")).compile(&[&engine], EMPTY, &DIGEST, Trust::Foreign, "p").unwrap();
    let also = vec![folder("nowhere"), folder("service")];
    let both = Compiler::new(CompileSettings { cache: Some(folder("own")), also, program: None });
    assert!(both.has(&engine, &DIGEST));
    both.compile(&[&engine], b"garbage", &DIGEST, Trust::Foreign, "p").unwrap();
    assert_eq!(fs::read_dir(folder("own")).unwrap().count(), 0);
    assert!(!folder("nowhere").exists(), "what is only searched is not created");
    fs::set_permissions(folder("service"), fs::Permissions::from_mode(0o755)).unwrap();
    let also = vec![folder("service")];
    let open = Compiler::new(CompileSettings { cache: Some(folder("own")), also, program: None });
    assert!(!open.has(&engine, &DIGEST), "others may have written to it");
}

#[test]
fn a_component_is_compiled_by_one_process_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("cache");
    let (first, second) = (Cache::open(&folder).unwrap(), Cache::open(&folder).unwrap());
    let engine = engine().unwrap();
    let turn = first.turn(&engine, &DIGEST).unwrap();
    let lock = fs::File::open(artefact_in(&folder)).unwrap();
    let free = || rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    assert!(!free());
    assert!(second.turn(&engine, &[8; 32]).is_some(), "another component does not wait");
    drop(turn);
    assert!(free());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
}
