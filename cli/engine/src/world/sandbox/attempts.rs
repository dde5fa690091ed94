//! What a confined process must not be able to do, tried one by one from inside.

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};
use rustix::process::{Pid, test_kill_process};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// The subject name for `agent` itself.
pub const ATTEMPT: &str = "attempt";

/// The targets of the attempts: existing, and accessible without confinement.
pub struct ProbeTargets {
    /// A file of the user's.
    pub file: PathBuf,
    /// A file of the repository, and one of its object store.
    pub repository: PathBuf,
    pub store: PathBuf,
    /// A socket in a folder, that listens; so does one by the name `abstract_name`.
    pub socket: PathBuf,
    pub abstract_name: String,
    /// On this machine, listens.
    pub port: u16,
    /// A process of the same user.
    pub process: Pid,
}

impl ProbeTargets {
    pub fn to_arguments(&self) -> Vec<OsString> {
        let files = [&self.file, &self.repository, &self.store, &self.socket]
            .map(|path| path.clone().into_os_string());
        let numbers = [self.port.to_string(), self.process.as_raw_nonzero().to_string()];
        files
            .into_iter()
            .chain([self.abstract_name.clone().into()])
            .chain(numbers.map(OsString::from))
            .collect()
    }

    pub fn from_arguments(words: &[OsString]) -> Option<Self> {
        let [file, repository, store, socket, name, port, process] = words else { return None };
        Some(Self {
            file: file.into(),
            repository: repository.into(),
            store: store.into(),
            socket: socket.into(),
            abstract_name: name.to_str()?.to_owned(),
            port: port.to_str()?.parse().ok()?,
            process: Pid::from_raw(process.to_str()?.parse().ok()?)?,
        })
    }
}

/// Each attempt by its name, and whether it was stopped.
pub fn all(targets: &ProbeTargets) -> BTreeMap<String, bool> {
    let attempts: [(&'static str, &dyn Fn() -> io::Result<()>); 16] = [
        ("write", &|| append(&targets.file)),
        ("create", &|| File::create_new(targets.file.with_extension("new")).map(drop)),
        ("read", &|| File::open(&targets.file).map(drop)),
        ("repository", &|| File::open(&targets.repository).map(drop)),
        ("store", &|| File::open(&targets.store).map(drop)),
        ("mode", &|| change_mode(&targets.file)),
        ("time", &|| change_time(&targets.file)),
        ("attribute", &|| {
            Ok(rustix::fs::setxattr(&targets.file, "user.agent", b"tried", XattrFlags::empty())?)
        }),
        ("tcp", &|| {
            TcpStream::connect_timeout(&([127, 0, 0, 1], targets.port).into(), CONNECT_TIMEOUT)
                .map(drop)
        }),
        ("udp", &|| {
            UdpSocket::bind(("127.0.0.1", 0))?
                .send_to(b"tried", ("127.0.0.1", targets.port))
                .map(drop)
        }),
        ("unix", &|| UnixStream::connect(&targets.socket).map(drop)),
        ("abstract", &|| {
            UnixStream::connect_addr(&SocketAddr::from_abstract_name(&targets.abstract_name)?)
                .map(drop)
        }),
        ("signal", &|| Ok(test_kill_process(targets.process)?)),
        ("memory", &|| read_memory(targets.process)),
        ("environment", &|| {
            File::open(format!("/proc/{}/environ", targets.process.as_raw_nonzero())).map(drop)
        }),
        ("shared-memory", &|| tempfile::tempfile_in("/dev/shm").map(drop)),
    ];
    attempts.into_iter().map(|(name, attempt)| (name.to_owned(), attempt().is_err())).collect()
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

fn append(file: &Path) -> io::Result<()> {
    File::options().append(true).open(file)?.write_all(b"tried")
}

/// A call that reports success and does nothing was stopped.
fn change_mode(file: &Path) -> io::Result<()> {
    const MODE: u32 = 0o777;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(MODE))?;
    must(file.metadata()?.permissions().mode() & MODE == MODE)
}

fn change_time(file: &Path) -> io::Result<()> {
    let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::fs::utimensat(
        CWD,
        file,
        &Timestamps { last_access: epoch, last_modification: epoch },
        AtFlags::empty(),
    )?;
    must(file.metadata()?.modified()? == UNIX_EPOCH)
}

fn must(done: bool) -> io::Result<()> {
    if done { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Needs the same right as a debugger.
fn read_memory(process: Pid) -> io::Result<()> {
    let mapped = std::fs::read_to_string(format!("/proc/{}/maps", process.as_raw_nonzero()))?;
    let start = mapped
        .split('-')
        .next()
        .and_then(|address| u64::from_str_radix(address, 16).ok())
        .unwrap_or_default();
    let mut memory = File::open(format!("/proc/{}/mem", process.as_raw_nonzero()))?;
    memory.seek(SeekFrom::Start(start))?;
    memory.read_exact(&mut [0])
}
