//! `perf_event_open(2)`.

use std::ffi::{c_int, c_long, c_ulong};
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// `struct perf_event_attr` in its first form, PERF_ATTR_SIZE_VER0 (Linux `include/uapi/linux/perf_event.h`).
#[repr(C)]
struct PerfAttributes {
    kind: u32,
    size: u32,
    config: u64,
    sample: [u64; 2],
    read_format: u64,
    flags: u64,
    rest: [u64; 2],
}

/// Opens a counter of the hardware on a processor, over all processes: 0 counts cycles, 1 instructions. What is read from it is
/// the number, and how long it was enabled and running, of 64 bits each.
pub(crate) fn open_perf_counter(config: u64, cpu: u32) -> io::Result<File> {
    // PERF_TYPE_HARDWARE; PERF_FORMAT_TOTAL_TIME_ENABLED and _RUNNING.
    let size = u32::try_from(size_of::<PerfAttributes>()).unwrap_or(0);
    let attributes =
        PerfAttributes { kind: 0, size, config, sample: [0; 2], read_format: 3, flags: 0, rest: [0; 2] };
    let cpu = c_int::try_from(cpu).map_err(io::Error::other)?;
    let (all, group): (c_int, c_int) = (-1, -1);
    // PERF_FLAG_FD_CLOEXEC.
    let flags: c_ulong = 8;
    // SAFETY: the attributes live as long as the call, and have the size that they say.
    let fd: c_long =
        unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attributes, all, cpu, group, flags) };
    let fd = c_int::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made, and that no other code has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the header declares, on 64-bit platforms.
    #[test]
    fn structures_have_the_sizes_of_the_header() {
        assert_eq!(size_of::<PerfAttributes>(), 64);
    }
}
