//! What the kernel enforces on a child.
//!
//! | what | by | without it |
//! |---|---|---|
//! | no file is opened, no program run, no socket made, no other process touched | seccomp: [`CALLS`] and no other system call; the process is killed | Landlock |
//! | no file is opened, no TCP port used, no signal sent | Landlock | seccomp |
//! | no privileges by running a program | `no_new_privs` | – |
//! | memory, no core dump, no file written, no descriptor, no process | resource limits | – |
//!
//! seccomp is the wall and Landlock stands behind it: a kernel may lack either. The parent gets what is in force, and
//! shows it.

use std::collections::BTreeMap;
use std::io;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetError, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Memory of one child. What it reserves without using it does not count.
const MEMORY: u64 = 2 << 30;

/// The system calls of a child, besides those that [`conditional`] allows: its two pipes, memory, time, random numbers, and
/// what a crash needs to end as one.
const CALLS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// How much Landlock restricts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// The kernel does not have it, or it is off.
    Absent,
    /// The kernel is older than some of what is denied.
    Partly,
    /// All that is denied.
    Fully,
}

/// What the kernel enforces on children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// How much Landlock restricts.
    pub landlock: Landlock,
}

impl Sandbox {
    /// Whether a child can open no file and no socket.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self.seccomp
    }

    pub(crate) fn to_octets(self) -> [u8; 2] {
        [u8::from(self.seccomp), self.landlock as u8]
    }

    pub(crate) fn from_octets(octets: &[u8]) -> Option<Self> {
        let landlock = |octet| {
            [Landlock::Absent, Landlock::Partly, Landlock::Fully].into_iter().find(|known| *known as u8 == octet)
        };
        match octets {
            [seccomp @ (0 | 1), octet] => Some(Self { seccomp: *seccomp == 1, landlock: landlock(*octet)? }),
            _ => None,
        }
    }
}

impl std::fmt::Display for Sandbox {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seccomp = if self.seccomp { "seccomp" } else { "no seccomp: this kernel does not have it" };
        let landlock = match self.landlock {
            Landlock::Absent => "no Landlock: this kernel does not have it, or it is off",
            Landlock::Partly => "Landlock as far as this kernel has it",
            Landlock::Fully => "Landlock",
        };
        write!(out, "{seccomp}; {landlock}")
    }
}

/// Limits what this process may use.
fn limit() -> io::Result<()> {
    let limits = [
        (Resource::Data, MEMORY),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

/// Closes the calling thread in, for good: as far as the kernel can.
pub(crate) fn enter() -> io::Result<Sandbox> {
    rustix::thread::set_no_new_privs(true)?;
    // It needs a descriptor, so it comes before the limits.
    let landlock = restrict().unwrap_or(Landlock::Absent);
    limit()?;
    let seccomp = match seccompiler::apply_filter(&filter().map_err(io::Error::other)?) {
        Ok(()) => true,
        // A kernel without it, or a container that forbids it.
        Err(seccompiler::Error::Seccomp(_)) => false,
        Err(error) => return Err(io::Error::other(error)),
    };
    Ok(Sandbox { seccomp, landlock })
}

/// Denies every access to files, TCP ports, and processes outside, with no exception.
fn restrict() -> Result<Landlock, RulesetError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Fully,
        RulesetStatus::PartiallyEnforced => Landlock::Partly,
        RulesetStatus::NotEnforced => Landlock::Absent,
    })
}

/// Kills the process at any system call that is not listed.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    rules.extend(conditional()?);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()
}

/// Calls that are allowed with some arguments only: memory that is not executable, and signals to itself.
fn conditional() -> Result<Vec<(i64, Vec<SeccompRule>)>, seccompiler::BackendError> {
    let executable = u64::try_from(libc::PROT_EXEC).unwrap_or_default();
    let plain = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?;
    let own = u64::from(std::process::id());
    let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?;
    Ok(vec![
        (libc::SYS_mmap, vec![SeccompRule::new(vec![plain.clone()])?]),
        (libc::SYS_mprotect, vec![SeccompRule::new(vec![plain])?]),
        (libc::SYS_tgkill, vec![SeccompRule::new(vec![own])?]),
    ])
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Output};

    use super::*;

    const TRY: &str = "SESAME_TEST_FORBIDDEN";

    /// What a child may not do.
    fn attempt(what: &str) -> io::Result<()> {
        match what {
            "nothing" => Ok(()),
            "open" => std::fs::File::open("/etc/hostname").map(drop),
            "create" => std::fs::File::create("/tmp/sesame-isolate-test").map(drop),
            "list" => std::fs::read_dir("/").map(drop),
            "socket" => std::net::TcpListener::bind("127.0.0.1:0").map(drop),
            "unix-socket" => std::os::unix::net::UnixDatagram::unbound().map(drop),
            "run" => Command::new("/bin/true").status().map(drop),
            "thread" => std::thread::Builder::new().spawn(|| ()).map(drop),
            "signal" => {
                Ok(rustix::process::kill_process(rustix::process::getppid().unwrap(), rustix::process::Signal::URG)?)
            }
            "limit" => {
                let _ = rustix::process::getrlimit(Resource::Core);
                Ok(())
            }
            other => panic!("{other}"),
        }
    }

    /// Not a test of its own: the process that the tests below start.
    #[test]
    fn child_of_the_tests() {
        let Some(order) = std::env::var_os(TRY) else { return };
        let (means, what) = order.to_str().unwrap().split_once(' ').unwrap();
        match means {
            "all" => assert!(enter().unwrap().seccomp, "this kernel has no seccomp"),
            "landlock" => assert_ne!(restrict().unwrap(), Landlock::Absent),
            "limits" => limit().unwrap(),
            _ => {}
        }
        let answer = attempt(what);
        // Not by the harness, which makes calls that are not allowed.
        let text = match answer {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        };
        let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
        std::process::exit(0);
    }

    fn run(means: &str, what: &str) -> Output {
        let child = concat!(module_path!(), "::child_of_the_tests").split_once("::").unwrap().1;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", child]).env(TRY, format!("{means} {what}")).output().unwrap()
    }

    fn said(output: &Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[test]
    fn every_call_that_is_not_listed_kills_the_child() {
        let none = run("all", "nothing");
        assert_eq!((none.status.code(), said(&none).as_str()), (Some(0), "done"));
        for what in ["open", "create", "list", "socket", "unix-socket", "run", "thread", "signal", "limit"] {
            let free = run("nothing", what);
            assert_eq!((free.status.code(), said(&free).as_str()), (Some(0), "done"), "{what} outside");
            let status = run("all", what).status;
            assert_eq!(status.signal(), Some(libc::SIGSYS), "{what}: {status}");
        }
    }

    #[test]
    fn landlock_alone_denies_files_and_ports() {
        if restrict_elsewhere() == Landlock::Absent {
            // What the sandbox says on such a kernel is then true: nothing is denied.
            let landlock = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
            assert!(!landlock.contains("landlock"), "this kernel has Landlock, and it denies nothing: {landlock}");
            return;
        }
        for (what, answer) in
            [("open", "PermissionDenied"), ("create", "PermissionDenied"), ("run", "PermissionDenied")]
        {
            assert_eq!(said(&run("landlock", what)), answer, "{what}");
        }
    }

    /// Landlock stays with the thread that asked for it.
    fn restrict_elsewhere() -> Landlock {
        std::thread::spawn(|| restrict().unwrap_or(Landlock::Absent)).join().unwrap()
    }

    #[test]
    fn limits_alone_deny_descriptors() {
        let output = run("limits", "socket");
        assert_eq!(said(&output), "Uncategorized", "too many open files: {output:?}");
        assert_eq!(said(&run("nothing", "socket")), "done");
    }

    #[test]
    fn what_is_in_force_is_told_and_read() {
        for landlock in [Landlock::Absent, Landlock::Partly, Landlock::Fully] {
            for seccomp in [false, true] {
                let sandbox = Sandbox { seccomp, landlock };
                assert_eq!(Sandbox::from_octets(&sandbox.to_octets()), Some(sandbox));
            }
        }
        for wrong in [&[][..], &[1], &[2, 0], &[1, 3], &[1, 2, 0]] {
            assert_eq!(Sandbox::from_octets(wrong), None);
        }
    }
}
