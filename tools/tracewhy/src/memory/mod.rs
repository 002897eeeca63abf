//! Memory over time: every allocation and release in the order of time, the peak, and what held it.

pub(crate) mod account;
pub(crate) mod ascend;
pub(crate) mod kineto;
pub(crate) mod pickle;
pub(crate) mod snapshot;

pub(crate) use account::DeviceMemory;
