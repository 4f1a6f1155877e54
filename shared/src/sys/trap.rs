//! Answers SIGSYS: the call that a filter has refused fails with EPERM, and is counted.
//!
//! Shell. The handler is all that runs in signal context: it reads and writes the registers that the
//! kernel has saved, adds to atomics, and makes no call. The program's loop reads the counters.
//!
//! - The kernel ends a process whose SIGSYS is blocked or has no handler: [`install`] unblocks it. The C library
//!   blocks every signal while it starts a thread or a process, so who tries that in such a process ends.
//! - A SIGSYS that no filter has sent (kill(2)) changes nothing.
//! - Whoever has taken a process over may undo this; the call is refused all the same.
//!
//! Limits: calls are counted by number below [`NUMBERS`], the others together under the last.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use libc::{c_int, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Whether refused calls can be answered on this architecture; elsewhere the filter answers itself.
pub const ANSWERS: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Counted one by one.
const NUMBERS: usize = 512;

/// In `si_code`: a filter has sent it.
const SYS_SECCOMP: c_int = 1;

static REFUSED: [AtomicU32; NUMBERS] = [const { AtomicU32::new(0) }; NUMBERS];
static TOTAL: AtomicU32 = AtomicU32::new(0);

/// From now on refused calls fail instead of ending the process.
pub fn install() -> io::Result<()> {
    if !ANSWERS {
        return Ok(());
    }
    let flags = SaFlags::SA_RESTART | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(handle), flags, SigSet::empty());
    // SAFETY: the handler keeps to what signal context allows, see above.
    unsafe { sigaction(Signal::SIGSYS, &action) }?;
    SigSet::from(Signal::SIGSYS).thread_unblock()?;
    Ok(())
}

/// How often calls were refused since the process began.
pub fn total() -> u32 {
    TOTAL.load(Relaxed)
}

/// Numbers of calls that were refused, and how often.
pub fn refused() -> impl Iterator<Item = (i64, u32)> {
    let counts =
        REFUSED.iter().enumerate().map(|(number, count)| (number as i64, count.load(Relaxed)));
    counts.filter(|(_, count)| *count > 0)
}

extern "C" fn handle(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
    let code = unsafe { (*info).si_code };
    if code != SYS_SECCOMP {
        return;
    }
    let number = answer(context, -i64::from(libc::EPERM));
    let place = usize::try_from(number).unwrap_or(NUMBERS).min(NUMBERS - 1);
    REFUSED[place].fetch_add(1, Relaxed);
    TOTAL.fetch_add(1, Relaxed);
}

/// Makes the interrupted call return this; answers its number.
#[cfg(target_arch = "x86_64")]
fn answer(context: *mut c_void, result: i64) -> i64 {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes its saved context, which is ours to change until the handler returns.
    let result_place = unsafe { &mut (*context).uc_mcontext.gregs[libc::REG_RAX as usize] };
    // Rolled back by the kernel: the number is where the result goes.
    std::mem::replace(result_place, result)
}

/// Makes the interrupted call return this; answers its number.
#[cfg(target_arch = "aarch64")]
fn answer(context: *mut c_void, result: i64) -> i64 {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes its saved context, which is ours to change until the handler returns.
    let registers = unsafe { &mut (*context).uc_mcontext.regs };
    registers[0] = result as u64;
    registers[8] as i64
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn answer(_: *mut c_void, _: i64) -> i64 {
    -1
}
