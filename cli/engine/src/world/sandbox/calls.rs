//! The system calls that a confined child is refused, as seccomp filters.
//!
//! A filter sees numbers and not paths, so a call that changes modes, owners, times or attributes
//! is refused for any file. Changes of modes, owners and times report success and have no effect:
//! `shutil.copy`, `cp -a` and `tar` make them on every file, and end with an error when they fail.

use agent_core::child::confinement::Kind;
use linux_raw_sys::errno::{EACCES, ENOSYS, EOPNOTSUPP, EPERM};
use linux_raw_sys::general as sys;
use linux_raw_sys::{ioctl, net};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// A call, with the arguments it is refused with: one of the rules has to fit, no rule fits all.
type Call = (u32, Vec<SeccompRule>);

/// Calls with the error number they report; 0 is success.
struct Refused {
    error: u32,
    calls: Vec<Call>,
}

/// Refuses the calls of a kind to this thread and all it starts; without effect where there is no
/// seccomp.
pub fn refuse(kind: Kind, network: bool) -> Result<(), seccompiler::Error> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(()) };
    if rustix::thread::secure_computing_mode().is_err() {
        return Ok(());
    }
    seccompiler::apply_filter(&joined(filters(kind, network, arch)?))
}

/// One program that combines all of them: the kernel takes half a millisecond to install one,
/// whatever its length, and each call runs all of them.
fn joined(mut filters: Vec<BpfProgram>) -> BpfProgram {
    const JUMP: u16 = 0x05;
    let last = filters.len().saturating_sub(1);
    for filter in &mut filters[..last] {
        let length = filter.len();
        for (at, step) in filter.iter_mut().enumerate() {
            if step.code == RETURN && step.k == u32::from(SeccompAction::Allow) {
                let ahead =
                    u32::try_from(length - at - 1).expect("a program has at most 4096 steps");
                *step = sock_filter { code: JUMP, jt: 0, jf: 0, k: ahead };
            }
        }
    }
    filters.concat()
}

/// Ends a program with an answer.
const RETURN: u16 = 0x06;

fn filters(kind: Kind, network: bool, arch: TargetArch) -> Result<Vec<BpfProgram>, BackendError> {
    let mut refused = vec![system()?, sockets(network)?];
    if kind == Kind::Tested {
        refused.extend([processes()?, absent(), metadata_without_effect(), attributes()]);
    }
    let mut filters: Vec<BpfProgram> = Vec::new();
    for Refused { error, calls } in refused {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for (call, conditions) in calls {
            rules.entry(call.into()).or_default().extend(conditions);
        }
        filters.push(
            SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error), arch)?
                .try_into()?,
        );
    }
    if arch == TargetArch::x86_64 {
        filters.push(other_numbers());
    }
    Ok(filters)
}

/// On `x86_64` every call has a second number for a form of program (x32) that hardly any system
/// still runs.
fn other_numbers() -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const X32: u32 = 0x4000_0000;
    let step = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    vec![
        step(LOAD_NUMBER, 0, 0),
        step(JUMP_IF_AT_LEAST, 1, X32),
        step(RETURN, 0, SeccompAction::Errno(ENOSYS).into()),
        step(RETURN, 0, SeccompAction::Allow.into()),
    ]
}

/// Calls that change the system globally, or reach kernel interfaces that no sandbox filters.
fn system() -> Result<Refused, BackendError> {
    let mut calls = plain(&[
        sys::__NR_mount,
        sys::__NR_umount2,
        sys::__NR_pivot_root,
        sys::__NR_open_tree,
        sys::__NR_open_tree_attr,
        sys::__NR_move_mount,
        sys::__NR_mount_setattr,
        sys::__NR_fsopen,
        sys::__NR_fsconfig,
        sys::__NR_fsmount,
        sys::__NR_fspick,
        sys::__NR_setns,
        sys::__NR_open_by_handle_at,
        sys::__NR_bpf,
        sys::__NR_perf_event_open,
        sys::__NR_keyctl,
        sys::__NR_add_key,
        sys::__NR_request_key,
        sys::__NR_kexec_load,
        sys::__NR_init_module,
        sys::__NR_finit_module,
        sys::__NR_delete_module,
        sys::__NR_swapon,
        sys::__NR_swapoff,
        sys::__NR_acct,
        sys::__NR_quotactl,
        sys::__NR_quotactl_fd,
        sys::__NR_fanotify_init,
    ]);
    // input for the terminal of another program
    calls.push((
        sys::__NR_ioctl,
        vec![
            argument(1, Compare::Eq, ioctl::TIOCSTI)?,
            argument(1, Compare::Eq, ioctl::TIOCLINUX)?,
        ],
    ));
    Ok(Refused { error: EPERM, calls })
}

/// System calls that affect other processes, or outlast this one.
fn processes() -> Result<Refused, BackendError> {
    let mut calls = plain(&[
        sys::__NR_ptrace,
        sys::__NR_process_vm_readv,
        sys::__NR_process_vm_writev,
        sys::__NR_process_madvise,
        sys::__NR_process_mrelease,
        sys::__NR_pidfd_getfd,
        sys::__NR_kcmp,
        sys::__NR_migrate_pages,
        sys::__NR_move_pages,
        sys::__NR_unshare,
        sys::__NR_chroot,
        sys::__NR_userfaultfd,
        sys::__NR_shmget,
        sys::__NR_semget,
        sys::__NR_msgget,
        sys::__NR_mq_open,
        sys::__NR_mq_unlink,
        sys::__NR_file_setattr,
        // the names of files that others open
        sys::__NR_inotify_add_watch,
    ]);
    #[cfg(target_arch = "x86_64")]
    calls.extend(plain(&[
        sys::__NR_uselib,
        sys::__NR_iopl,
        sys::__NR_ioperm,
        sys::__NR_modify_ldt,
    ]));
    calls.push((
        sys::__NR_clone,
        NAMESPACES
            .into_iter()
            .map(|flag| argument(0, Compare::MaskedEq(flag.into()), flag))
            .collect::<Result<_, _>>()?,
    ));
    // limits and priorities of other processes; 0 is the calling one
    let others = SeccompRule::new(vec![condition(0, Compare::Ne, 0)?, wide(2, Compare::Ne, 0)?])?;
    calls.push((sys::__NR_prlimit64, vec![others]));
    calls.push((sys::__NR_setpriority, vec![argument(1, Compare::Ne, 0)?]));
    calls.push((sys::__NR_ioprio_set, vec![argument(1, Compare::Ne, 0)?]));
    // flags of files, which need no file that is open for writing
    let flags = [
        ioctl::FS_IOC_SETFLAGS,
        ioctl::FS_IOC_SETVERSION,
        ioctl::FS_IOC_FSSETXATTR,
        ioctl::FS_IOC_ENABLE_VERITY,
        ioctl::FS_IOC_SET_ENCRYPTION_POLICY,
    ];
    calls.push((
        sys::__NR_ioctl,
        flags.into_iter().map(|flag| argument(1, Compare::Eq, flag)).collect::<Result<_, _>>()?,
    ));
    Ok(Refused { error: EPERM, calls })
}

const NAMESPACES: [u32; 7] = [
    sys::CLONE_NEWNS,
    sys::CLONE_NEWCGROUP,
    sys::CLONE_NEWUTS,
    sys::CLONE_NEWIPC,
    sys::CLONE_NEWUSER,
    sys::CLONE_NEWPID,
    sys::CLONE_NEWNET,
];

/// Calls that programs replace where a kernel lacks them. `clone3` passes its flags in
/// memory, and an `io_uring` passes whole calls.
fn absent() -> Refused {
    let calls = plain(&[
        sys::__NR_clone3,
        sys::__NR_io_uring_setup,
        sys::__NR_io_uring_enter,
        sys::__NR_io_uring_register,
    ]);
    Refused { error: ENOSYS, calls }
}

fn metadata_without_effect() -> Refused {
    let mut calls = plain(&[
        sys::__NR_fchmod,
        sys::__NR_fchmodat,
        sys::__NR_fchmodat2,
        sys::__NR_fchown,
        sys::__NR_fchownat,
        sys::__NR_utimensat,
    ]);
    #[cfg(target_arch = "x86_64")]
    calls.extend(plain(&[
        sys::__NR_chmod,
        sys::__NR_chown,
        sys::__NR_lchown,
        sys::__NR_utime,
        sys::__NR_utimes,
        sys::__NR_futimesat,
    ]));
    Refused { error: 0, calls }
}

fn attributes() -> Refused {
    let calls = plain(&[
        sys::__NR_setxattr,
        sys::__NR_lsetxattr,
        sys::__NR_fsetxattr,
        sys::__NR_setxattrat,
        sys::__NR_removexattr,
        sys::__NR_lremovexattr,
        sys::__NR_fremovexattr,
        sys::__NR_removexattrat,
    ]);
    Refused { error: EOPNOTSUPP, calls }
}

/// Sockets to other processes of this machine, and without a network any: a filter cannot see which
/// process a socket would lead to. Pairs of connected sockets stay, but no pair of datagram
/// sockets: these can be given another address.
fn sockets(network: bool) -> Result<Refused, BackendError> {
    const TYPE: u64 = 0xf;
    const ALLOWED: [u32; 3] = [net::AF_INET, net::AF_INET6, net::AF_NETLINK];
    let mut calls = vec![(
        sys::__NR_socketpair,
        vec![
            argument(1, Compare::MaskedEq(TYPE), net::SOCK_DGRAM)?,
            argument(1, Compare::MaskedEq(TYPE), net::SOCK_RAW)?,
        ],
    )];
    if network {
        let other = ALLOWED
            .into_iter()
            .map(|family| condition(0, Compare::Ne, family))
            .collect::<Result<_, _>>()?;
        calls.push((sys::__NR_socket, vec![SeccompRule::new(other)?]));
    } else {
        calls.extend(plain(&[sys::__NR_socket, sys::__NR_connect]));
    }
    Ok(Refused { error: EACCES, calls })
}

fn plain(calls: &[u32]) -> Vec<Call> {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn argument(number: u8, compare: Compare, value: u32) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition(number, compare, value)?])
}

fn condition(number: u8, compare: Compare, value: u32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(number, Length::Dword, compare, value.into())
}

fn wide(number: u8, compare: Compare, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(number, Length::Qword, compare, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(action: SeccompAction) -> sock_filter {
        sock_filter { code: RETURN, jt: 0, jf: 0, k: action.into() }
    }

    fn jump(ahead: u32) -> sock_filter {
        sock_filter { code: 0x05, jt: 0, jf: 0, k: ahead }
    }

    #[test]
    fn seccomp_filters_are_chained() {
        let refusing = |error| {
            vec![
                answer(SeccompAction::Allow),
                answer(SeccompAction::Errno(error)),
                answer(SeccompAction::Allow),
            ]
        };
        let found = joined(vec![refusing(1), refusing(2)]);
        let expected =
            [vec![jump(2), answer(SeccompAction::Errno(1)), jump(0)], refusing(2)].concat();
        assert_eq!(found, expected);
        assert_eq!(joined(Vec::new()), Vec::new());
    }

    #[test]
    fn longest_filter_is_within_the_kernel_limit() {
        const MOST: usize = 4096;
        let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        assert!(joined(filters(Kind::Tested, true, arch).unwrap()).len() < MOST / 2);
    }
}
