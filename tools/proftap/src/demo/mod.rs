//! `proftap demo`: a small training job that can be profiled on demand.
//!
//! It is real work with real timings: a perceptron that learns, whose operators launch kernels onto a device
//! made of threads, one per stream, which execute them asynchronously and in order. Only the device's shape is
//! made up; nothing in a trace is.
//!
//! | module | holds |
//! |---|---|
//! | `clock` | the one clock of all timings |
//! | `math` | arithmetic on slices: what kernels compute |
//! | `device` | streams that execute kernels, and fences between them |
//! | `recorder` | what is kept of a recording while it runs |
//! | `host` | operators, annotations and runtime calls: the instrumented side of the device |
//! | `model` | the perceptron, its data and one training step in operators |
//! | `gate` | when a recording begins and ends |
//! | `job` | the training thread and its pace |
//! | `request` | a config, understood |
//! | `target` | where a trace may be written |
//! | `kineto` | a recording as a Chrome trace in Kineto's form |
//! | `ascend` | a recording as the directory that the Ascend PyTorch profiler leaves |
//! | `store` | a recording to its place |
//! | `npu` | the statuses and metrics of an Ascend process, with `--npu` |
//! | `control` | the loop that ties daemon, job and files together |

mod ascend;
mod clock;
mod control;
mod device;
mod gate;
mod host;
mod job;
mod kineto;
mod math;
mod model;
mod npu;
mod recorder;
mod request;
mod store;
mod target;

pub(crate) use control::Controller;
pub(crate) use job::{Job, Pace};
pub(crate) use kineto::Facts;
