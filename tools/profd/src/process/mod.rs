//! The processes of this host, as the kernel knows them: descriptors that report their end, and `/proc`.

pub(crate) mod environ;
pub(crate) mod procfs;
pub(crate) mod watch;
