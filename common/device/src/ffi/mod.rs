//! Every line of unsafe code of the workspace is in this module: the functions of the drivers' libraries, and `perf_event_open(2)`.
//!
//! Rules for all of it:
//!
//! - A library is never unloaded, so a function that was found in it stays valid.
//! - A function is called with the types that the header of its library declares; the headers are named at each table.
//! - What a library writes into is zeroed before, and has room behind it, should a later version of the library write more.
//! - Texts have room for their longest form, get their length as an argument, and are read up to their first zero byte.
//! - One thread calls at a time: sources are neither `Send` nor `Sync`.
#![expect(unsafe_code, reason = "functions of C libraries cannot be called otherwise")]
#![allow(non_snake_case, reason = "functions have the names of their libraries")]
#![allow(dead_code, reason = "structures have all fields of their libraries")]

use std::ffi::{OsStr, c_char, c_int, c_uint};
use std::mem::ManuallyDrop;

use libloading::os::unix;

use crate::CallError;

/// A loaded library.
pub(crate) struct Library(ManuallyDrop<unix::Library>);

impl Library {
    /// Loads a library by its name or path. The reason of an error is that of the loader.
    pub(crate) fn open(name: &OsStr) -> Result<Self, String> {
        // SAFETY: loading runs the initializers of the library. It is one of the driver's that the loader of the system finds, or
        // a file that only root or the own user could have written.
        match unsafe { unix::Library::open(Some(name), unix::RTLD_NOW | unix::RTLD_LOCAL) } {
            Ok(library) => Ok(Self(ManuallyDrop::new(library))),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Finds a function.
    ///
    /// # Safety
    /// `F` is the type of a pointer to the function of this name.
    unsafe fn find<F: Copy>(&self, name: &str) -> Option<F> {
        // SAFETY: the caller vouches for the type; the library is never unloaded.
        unsafe { self.0.get::<F>(name.as_bytes()) }.ok().map(|symbol| *symbol)
    }
}

/// Keeps the descriptors of this process from the programs that it starts, except the first three (`close_range(2)`). Kernels
/// before 5.11 cannot do this.
pub fn close_descriptors_on_exec() {
    let (first, last): (c_uint, c_uint) = (3, c_uint::MAX);
    // SAFETY: the call takes numbers only; with this flag it closes nothing now.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
}

/// A table of functions that a library has, each or not.
macro_rules! functions {
    ($(#[$doc:meta])* $table:ident { $($name:ident($($arg:ty),*);)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $table {
            $($name: Option<unsafe extern "C" fn($($arg),*) -> c_int>,)*
            // No other thread may use it.
            not_send: std::marker::PhantomData<*const ()>,
        }

        impl $table {
            fn load(library: &Library) -> Self {
                // SAFETY: the types are those of the header that is named above.
                Self { $($name: unsafe { library.find(stringify!($name)) },)* not_send: std::marker::PhantomData }
            }
        }
    };
}

/// Types that any bytes are a valid value of.
///
/// # Safety
/// Implemented only for numbers and for structures of C that consist of them.
unsafe trait Plain: Copy {
    const ZERO: Self;
}

macro_rules! plain {
    ($($t:ty => $zero:expr;)*) => { $(
        // SAFETY: numbers only.
        unsafe impl Plain for $t { const ZERO: Self = $zero; }
    )* };
}

/// A result, and the room behind it.
#[repr(C)]
struct Roomy<T> {
    value: T,
    room: [u64; 64],
}

/// Calls a function that returns its result through a pointer; `initial` is what stands there before.
fn fill_from<T: Plain>(
    initial: T,
    call: impl FnOnce(*mut T) -> Result<(), CallError>,
) -> Result<T, CallError> {
    let mut out = Roomy { value: initial, room: [0; 64] };
    call((&raw mut out).cast())?;
    // Kept until here, so that the room is there while the function runs.
    std::hint::black_box(&out.room);
    Ok(out.value)
}

fn fill<T: Plain>(call: impl FnOnce(*mut T) -> Result<(), CallError>) -> Result<T, CallError> {
    fill_from(T::ZERO, call)
}

/// Calls a function that writes a text of at most `N` bytes.
fn fill_text<const N: usize>(
    call: impl FnOnce(*mut c_char, c_uint) -> Result<(), CallError>,
) -> Result<String, CallError> {
    // Twice the length that the function gets.
    let mut bytes = [[0_u8; N]; 2];
    call((&raw mut bytes).cast(), c_uint::try_from(N).unwrap_or(0))?;
    Ok(text_of(bytes.as_flattened()))
}

fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Calls a function of a table. The last argument explains the statuses of the library.
macro_rules! call {
    ($self:ident . $name:ident ( $($arg:expr),* )) => {
        match $self.0.$name {
            // SAFETY: see the head of this file.
            Some(function) => Self::check(unsafe { function($($arg),*) }),
            None => Err(CallError::Absent),
        }
    };
}

/// Generates functions that ask one thing of one device.
macro_rules! getters {
    ($device:ty: $($(#[$doc:meta])* $method:ident = $name:ident -> $t:ty;)*) => {
        $($(#[$doc])* pub(crate) fn $method(&self, device: $device) -> Result<$t, CallError> {
            fill(|out| call!(self.$name(device.0, out)))
        })*
    };
}

plain! {
    c_uint => 0;
    u64 => 0;
    usize => 0;
    c_int => 0;
}

mod dcgm;
mod dcmi;
mod nvml;
mod perf;

pub(crate) use dcgm::{Dcgm, DcgmHandle};
pub(crate) use dcmi::{Dcmi, DcmiDevice};
pub(crate) use nvml::{Nvml, NvmlDevice};
pub(crate) use perf::open_perf_counter;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_at_their_first_zero() {
        assert_eq!(text_of(b"ab\0c"), "ab");
        assert_eq!(text_of(b"\xffb"), "\u{fffd}b");
    }

    #[test]
    fn a_library_that_is_missing_is_said() {
        let reason = Library::open(OsStr::new("libprofguard-missing.so.1")).err().unwrap();
        assert!(reason.contains("libprofguard-missing.so.1: cannot open shared object file"), "{reason}");
    }
}
