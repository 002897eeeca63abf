//! The stamps of a certificate directory's files, which show that it has changed.

use std::fs::Metadata;
use std::path::Path;

use common::pki::Role;
use common::pki::role::SECRET_LAYOUTS;

use crate::file_stamp::FileStamp;

/// The stamps of the directory and of the CRL file.
pub(super) type Stamps = (DirStamp, Option<FileStamp>);

/// Takes the stamps of a directory.
pub(super) fn read_stamps(dir: &Path) -> Stamps {
    (DirStamp::read(dir), stamp_crl(dir))
}

/// Stamps the CRL file; of a symlink, its target.
fn stamp_crl(dir: &Path) -> Option<FileStamp> {
    let path = dir.join(Role::Server.layout().crl);
    FileStamp::of(&path)
}

/// The stamp of each file that belongs to the directory, and of the directory itself; `None` for a missing one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirStamp(Vec<Option<FileStamp>>);

impl DirStamp {
    fn read(dir: &Path) -> Self {
        let layouts = [Role::Server.layout(), &SECRET_LAYOUTS[Role::Server as usize]];
        let names = layouts.iter().flat_map(|layout| layout.file_names());
        let paths = || names.clone().map(|name| dir.join(name)).chain([dir.to_owned()]);
        let stamp = |meta: std::io::Result<Metadata>| meta.ok().map(|meta| FileStamp::of_metadata(&meta));
        // Of a link, itself and its target: in a volume of Kubernetes every file is one.
        let links = paths().map(|path| stamp(path.symlink_metadata()));
        Self(links.chain(paths().map(|path| stamp(path.metadata()))).collect())
    }
}
