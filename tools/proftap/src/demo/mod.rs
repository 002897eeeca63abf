//! `proftap demo`: a small training job that can be profiled on demand.
//!
//! The work and the timings are real: a perceptron learns, and its operators launch kernels on a device that consists of
//! threads, one per stream, which execute them asynchronously and in order. Only the shape of the device is simulated;
//! nothing in a trace is.
//!
//! | module | holds |
//! |---|---|
//! | `clock` | the clock of all timings |
//! | `math` | arithmetic on slices: what the kernels compute |
//! | `device` | streams that execute kernels, and fences between them |
//! | `recorder` | the recording while it is running |
//! | `runtime_call` | the calls of the device runtime |
//! | `host` | operators, annotations and runtime calls: the instrumented side of the device |
//! | `model` | the perceptron, its data, and the operators of a training step |
//! | `schedule` | when a recording starts and stops |
//! | `job` | the training thread |
//! | `config_request` | a config, parsed and validated |
//! | `trace_file` | the paths to which a trace can be written |
//! | `kineto` | a recording as a Chrome trace in Kineto's format |
//! | `ascend` | a recording as the directory of the Ascend PyTorch profiler |
//! | `store` | writing a recording |
//! | `npu` | status messages and metrics of a process on an Ascend device, with `--npu` |
//! | `controller` | the loop that connects the daemon, the job and the files |

mod ascend;
mod clock;
mod config_request;
mod controller;
mod device;
mod host;
mod job;
mod kineto;
mod math;
mod model;
mod npu;
mod recorder;
mod runtime_call;
mod schedule;
mod store;
mod trace_file;

pub(crate) use controller::DemoController;
pub(crate) use job::{TrainingJob, TrainingOptions};
pub(crate) use kineto::TraceProcessInfo;
