//! Floating-point operations of operators, by their shapes, and the time that their kernels take.

pub(crate) mod collect;
pub(crate) mod formula;
pub(crate) mod peak;
