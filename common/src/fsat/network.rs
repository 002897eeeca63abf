//! File systems that other hosts may have mounted.

use std::path::Path;

/// File systems that several hosts may have mounted at the same time, by their number in `statfs(2)` and
/// linux/magic.h (6.12): NFS, SMB, Lustre, Ceph, GPFS, AFS (two), 9P, OCFS2, GFS2, BeeGFS, PanFS, Coda, NCP, and FUSE, which
/// sshfs and others are made with.
const NETWORK_FILE_SYSTEMS: [u32; 16] = [
    0x6969,
    0xFF53_4D42,
    0xFE53_4D42,
    0x517B,
    0x0BD0_0BD0,
    0x00C3_6400,
    0x4750_4653,
    0x5346_414F,
    0x6B41_4653,
    0x0102_1997,
    0x7461_636F,
    0x0116_1970,
    0x1983_0326,
    0xAAD7_AAEA,
    0x7375_7245,
    0x6573_5546,
];

/// Whether the directory of a path is on a file system that other hosts may have mounted; false if it cannot be said.
#[must_use]
pub fn is_on_network_file_system(path: &Path) -> bool {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let kind = rustix::fs::statfs(parent).ok().and_then(|stat| u32::try_from(stat.f_type).ok());
    kind.is_some_and(|kind| NETWORK_FILE_SYSTEMS.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_of_the_kernel_is_local() {
        assert!(!is_on_network_file_system(Path::new("/proc/x")));
        assert!(!is_on_network_file_system(Path::new("/missing/x")));
    }
}
