//! Work of a device and the launches that it came from, in bounded memory.

use std::io;

use crate::spool::{Spool, SpoolRecord};

/// The number of work that nothing launched.
pub const NO_CORRELATION: i64 = i64::MIN;

/// A launch: its number and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchTime {
    /// What its work has, too.
    pub correlation: i64,
    /// When the call began.
    pub at: i64,
    /// Number of its thread.
    pub thread: u32,
}

impl SpoolRecord<3> for LaunchTime {
    fn to_words(self) -> [i64; 3] {
        [self.correlation, self.at, i64::from(self.thread)]
    }

    fn from_words([correlation, at, thread]: [i64; 3]) -> Self {
        Self { correlation, at, thread: thread as u32 }
    }
}

/// Calls `each` with every piece of work and its launch, in the order of their numbers. Of several launches of one number
/// the first counts: the others repeat it in another layer.
///
/// # Errors
/// A temporary file cannot be used; what `each` says.
pub fn link_launches<W: SpoolRecord<N>, const N: usize>(
    work: Spool<W, N>,
    correlation: impl Fn(&W) -> i64,
    launches: Spool<LaunchTime, 3>,
    mut each: impl FnMut(&W, Option<LaunchTime>) -> io::Result<()>,
) -> io::Result<()> {
    let mut launches = launches.into_sorted(|l| (l.correlation, l.at))?;
    let mut work = work.into_sorted(&correlation)?;
    let mut next = launches.next_record()?;
    let mut launch: Option<LaunchTime> = None;
    while let Some(w) = work.next_record()? {
        let number = correlation(&w);
        while let Some(l) = next.filter(|l| l.correlation <= number) {
            if launch.is_none_or(|before| before.correlation != l.correlation) {
                launch = Some(l);
            }
            next = launches.next_record()?;
        }
        each(&w, launch.filter(|l| l.correlation == number && number != NO_CORRELATION))?;
    }
    Ok(())
}
