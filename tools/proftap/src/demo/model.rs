//! The perceptron: two linear layers, trained by gradient descent on synthetic data.
//!
//! Every operator launches its kernels and returns immediately; the training thread waits only for the loss. The
//! gradients are all-reduced over the replicas of a data-parallel job while the rest of the backward pass is computed.

use super::device::{DeviceActivity, DeviceBuffer, DeviceStream};
use super::host::HostRuntime;
use super::math::{self, RandomNumbers};

const INPUTS: usize = 256;
const HIDDEN: usize = 384;
const CLASSES: usize = 64;
const LEARNING_RATE: f32 = 0.1;

/// Number of elements that the ring transfers at once.
const PACKET_LEN: usize = 1024;

const COMPUTE: DeviceStream = DeviceStream::Compute;
const KERNEL: DeviceActivity = DeviceActivity::Kernel;

/// One linear layer: weights, biases, and their gradients.
#[derive(Debug)]
struct LinearLayer {
    weight: DeviceBuffer,
    bias: DeviceBuffer,
    weight_gradient: DeviceBuffer,
    bias_gradient: DeviceBuffer,
    inputs: usize,
    outputs: usize,
}

impl LinearLayer {
    fn new(inputs: usize, outputs: usize, random: &mut RandomNumbers) -> Self {
        let bound = (1.0 / inputs as f32).sqrt();
        Self {
            weight: DeviceBuffer::new((0..inputs * outputs).map(|_| random.next_uniform() * bound).collect()),
            bias: DeviceBuffer::zeros(outputs),
            weight_gradient: DeviceBuffer::zeros(inputs * outputs),
            bias_gradient: DeviceBuffer::zeros(outputs),
            inputs,
            outputs,
        }
    }

    /// `aten::linear`: out = x·W + b.
    fn forward(&self, host: &mut HostRuntime, x: &DeviceBuffer, out: &DeviceBuffer) {
        let (x, out, weight, bias) = (x.clone(), out.clone(), self.weight.clone(), self.bias.clone());
        let inputs = self.inputs;
        host.run_operator("aten::linear", |host| {
            host.run_operator("aten::addmm", |host| {
                host.launch_work(COMPUTE, "sgemm_bias_32x32_nn", KERNEL, move || {
                    math::gemm_nn(&x.lock(), &weight.lock(), &bias.lock(), &mut out.lock(), inputs);
                });
            });
        });
    }

    /// Computes the gradients of weights and biases from that of the output.
    fn backward(&self, host: &mut HostRuntime, x: &DeviceBuffer, gradient: &DeviceBuffer) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (x, g, weight) = (x.clone(), gradient.clone(), self.weight_gradient.clone());
        host.run_operator("aten::mm", |host| {
            host.launch_work(COMPUTE, "sgemm_32x32_tn", KERNEL, move || {
                math::gemm_tn(&x.lock(), &g.lock(), &mut weight.lock(), inputs, outputs);
            });
        });
        let (g, bias) = (gradient.clone(), self.bias_gradient.clone());
        host.run_operator("aten::sum", |host| {
            host.launch_work(COMPUTE, "reduce_rows_kernel", KERNEL, move || {
                math::sum_rows(&g.lock(), &mut bias.lock());
            });
        });
    }

    /// `aten::mm`: computes the gradient of the input.
    fn backward_input(&self, host: &mut HostRuntime, gradient: &DeviceBuffer, out: &DeviceBuffer) {
        let (g, weight, out, outputs) = (gradient.clone(), self.weight.clone(), out.clone(), self.outputs);
        host.run_operator("aten::mm", |host| {
            host.launch_work(COMPUTE, "sgemm_32x32_nt", KERNEL, move || {
                math::gemm_nt(&g.lock(), &weight.lock(), &mut out.lock(), outputs);
            });
        });
    }

    fn parameters(&self) -> [(&DeviceBuffer, &DeviceBuffer); 2] {
        [(&self.weight, &self.weight_gradient), (&self.bias, &self.bias_gradient)]
    }
}

/// The model, its activations and its data.
#[derive(Debug)]
pub(crate) struct Perceptron {
    random: RandomNumbers,
    /// The centers of the classes: what the model learns.
    centers: Vec<f32>,
    first: LinearLayer,
    second: LinearLayer,
    x: DeviceBuffer,
    hidden: DeviceBuffer,
    active: DeviceBuffer,
    logits: DeviceBuffer,
    log_p: DeviceBuffer,
    logits_gradient: DeviceBuffer,
    hidden_gradient: DeviceBuffer,
    loss: DeviceBuffer,
    /// Number of samples per batch.
    batch: usize,
    replicas: u32,
}

/// A batch on the host.
#[derive(Debug)]
pub(crate) struct TrainingBatch {
    x: Vec<f32>,
    labels: Vec<usize>,
}

impl Perceptron {
    /// Creates a model with random weights, one of `replicas`.
    pub(crate) fn new(seed: u64, batch: usize, replicas: u32) -> Self {
        let mut random = RandomNumbers::new(seed);
        let centers = (0..INPUTS * CLASSES).map(|_| random.next_uniform()).collect();
        Self {
            first: LinearLayer::new(INPUTS, HIDDEN, &mut random),
            second: LinearLayer::new(HIDDEN, CLASSES, &mut random),
            x: DeviceBuffer::zeros(batch * INPUTS),
            hidden: DeviceBuffer::zeros(batch * HIDDEN),
            active: DeviceBuffer::zeros(batch * HIDDEN),
            logits: DeviceBuffer::zeros(batch * CLASSES),
            log_p: DeviceBuffer::zeros(batch * CLASSES),
            logits_gradient: DeviceBuffer::zeros(batch * CLASSES),
            hidden_gradient: DeviceBuffer::zeros(batch * HIDDEN),
            loss: DeviceBuffer::zeros(1),
            random,
            centers,
            batch,
            replicas,
        }
    }

    /// Generates the next batch on the host: each sample is the center of its class plus noise.
    pub(crate) fn next_batch(&mut self) -> TrainingBatch {
        let mut batch = TrainingBatch { x: Vec::with_capacity(self.batch * INPUTS), labels: Vec::new() };
        for _ in 0..self.batch {
            let class = self.random.next_below(CLASSES);
            let center = &self.centers[class * INPUTS..][..INPUTS];
            batch.x.extend(center.iter().map(|c| c + self.random.next_uniform()));
            batch.labels.push(class);
        }
        batch
    }

    /// Copies a batch to the device, on the copy stream.
    pub(crate) fn upload_batch(&self, host: &mut HostRuntime, batch: &TrainingBatch) {
        let (source, x) = (batch.x.clone(), self.x.clone());
        let bytes = size_of_val(&*source) as u64;
        host.run_operator("aten::to", |host| {
            host.run_operator("aten::copy_", |host| {
                let copy = DeviceActivity::Copy { bytes };
                host.launch_work(DeviceStream::Copy, "Memcpy HtoD (Pinned -> Device)", copy, move || {
                    x.lock().copy_from_slice(&source);
                });
                let copied = host.record_event(DeviceStream::Copy);
                host.wait_for(COMPUTE, &copied);
            });
        });
    }

    /// Forward pass: from the batch to the loss.
    pub(crate) fn forward(&self, host: &mut HostRuntime, batch: &TrainingBatch) {
        self.first.forward(host, &self.x, &self.hidden);
        let (hidden, active) = (self.hidden.clone(), self.active.clone());
        host.run_operator("aten::relu", |host| {
            host.run_operator("aten::clamp_min", |host| {
                host.launch_work(COMPUTE, "relu_kernel", KERNEL, move || {
                    math::relu(&hidden.lock(), &mut active.lock());
                });
            });
        });
        self.second.forward(host, &self.active, &self.logits);
        host.run_operator("aten::cross_entropy_loss", |host| self.launch_cross_entropy(host, batch));
    }

    fn launch_cross_entropy(&self, host: &mut HostRuntime, batch: &TrainingBatch) {
        let (logits, log_p) = (self.logits.clone(), self.log_p.clone());
        host.run_operator("aten::log_softmax", |host| {
            host.launch_work(COMPUTE, "softmax_warp_forward", KERNEL, move || {
                math::log_softmax(&logits.lock(), &mut log_p.lock(), CLASSES);
            });
        });
        let (log_p, loss, labels) = (self.log_p.clone(), self.loss.clone(), batch.labels.clone());
        host.run_operator("aten::nll_loss", |host| {
            host.launch_work(COMPUTE, "nll_loss_forward_kernel", KERNEL, move || {
                loss.lock()[0] = math::nll_loss(&log_p.lock(), &labels, CLASSES);
            });
        });
    }

    /// Backward pass: from the loss to the gradients. The gradients of a layer are all-reduced as soon as they are
    /// computed.
    pub(crate) fn backward(&self, host: &mut HostRuntime, batch: &TrainingBatch) {
        host.run_operator("autograd::engine::evaluate_function: NllLossBackward0", |host| {
            let (log_p, gradient) = (self.log_p.clone(), self.logits_gradient.clone());
            let labels = batch.labels.clone();
            host.run_operator("aten::nll_loss_backward", |host| {
                host.launch_work(COMPUTE, "cross_entropy_backward_kernel", KERNEL, move || {
                    math::cross_entropy_backward(&log_p.lock(), &labels, &mut gradient.lock(), CLASSES);
                });
            });
        });
        host.run_operator("autograd::engine::evaluate_function: AddmmBackward0", |host| {
            self.second.backward(host, &self.active, &self.logits_gradient);
        });
        self.all_reduce_gradients(host, &self.second);
        host.run_operator("autograd::engine::evaluate_function: AddmmBackward0", |host| {
            self.second.backward_input(host, &self.logits_gradient, &self.hidden_gradient);
        });
        let (active, gradient) = (self.active.clone(), self.hidden_gradient.clone());
        host.run_operator("autograd::engine::evaluate_function: ReluBackward0", |host| {
            host.run_operator("aten::threshold_backward", |host| {
                host.launch_work(COMPUTE, "threshold_backward_kernel", KERNEL, move || {
                    math::threshold_backward(&active.lock(), &mut gradient.lock());
                });
            });
        });
        host.run_operator("autograd::engine::evaluate_function: AddmmBackward0", |host| {
            self.first.backward(host, &self.x, &self.hidden_gradient);
        });
        self.all_reduce_gradients(host, &self.first);
    }

    /// Averages the gradients of a layer over the replicas, in parallel with the computation.
    fn all_reduce_gradients(&self, host: &mut HostRuntime, layer: &LinearLayer) {
        if self.replicas < 2 {
            return;
        }
        let gradients = [layer.weight_gradient.clone(), layer.bias_gradient.clone()];
        let elements = (layer.inputs + 1) * layer.outputs;
        let replicas = self.replicas as usize;
        host.run_annotation("nccl:all_reduce", |host| {
            host.run_operator("c10d::allreduce_", |host| {
                let ready = host.record_event(COMPUTE);
                host.wait_for(DeviceStream::Communication, &ready);
                let activity = DeviceActivity::AllReduce { elements: elements as u64 };
                let name = "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)";
                host.launch_work(DeviceStream::Communication, name, activity, move || {
                    gradients.iter().for_each(|g| ring_all_reduce(&mut g.lock(), replicas));
                });
            });
        });
    }

    /// One step of gradient descent, after the gradients have been all-reduced.
    pub(crate) fn update_parameters(&self, host: &mut HostRuntime) {
        host.run_annotation("Optimizer.step#SGD.step", |host| {
            let reduced = host.record_event(DeviceStream::Communication);
            host.wait_for(COMPUTE, &reduced);
            host.run_operator("aten::_foreach_add_", |host| {
                for (parameter, gradient) in [&self.first, &self.second].iter().flat_map(|l| l.parameters()) {
                    let (parameter, gradient) = (parameter.clone(), gradient.clone());
                    host.launch_work(COMPUTE, "multi_tensor_apply_kernel", KERNEL, move || {
                        math::axpy(-LEARNING_RATE, &gradient.lock(), &mut parameter.lock());
                    });
                }
            });
        });
        host.run_annotation("Optimizer.zero_grad#SGD.zero_grad", |host| {
            for (_, gradient) in [&self.first, &self.second].iter().flat_map(|l| l.parameters()) {
                let fill = DeviceActivity::Fill { bytes: gradient.size_bytes() };
                let gradient = gradient.clone();
                host.run_operator("aten::zero_", |host| {
                    host.launch_work(COMPUTE, "Memset (Device)", fill, move || gradient.lock().fill(0.0));
                });
            }
        });
    }

    /// `loss.item()`: copies the loss back and waits for it.
    pub(crate) fn read_loss(&self, host: &mut HostRuntime) -> f32 {
        let (loss, result) = (self.loss.clone(), DeviceBuffer::zeros(1));
        let copy = result.clone();
        host.run_operator("aten::item", |host| {
            host.run_operator("aten::_local_scalar_dense", |host| {
                let bytes = size_of::<f32>() as u64;
                host.launch_work(
                    COMPUTE,
                    "Memcpy DtoH (Device -> Pinned)",
                    DeviceActivity::Copy { bytes },
                    move || {
                        copy.lock()[0] = loss.lock()[0];
                    },
                );
                host.synchronize_stream(COMPUTE);
            });
        });
        result.lock()[0]
    }
}

/// Performs the ring all-reduce of one rank: chunks of the neighbor arrive in packets and are added, then the reduced
/// chunks arrive and are copied. The neighbors are simulated replicas with the same batch, so their gradients equal
/// those of this rank, and so does the average.
fn ring_all_reduce(gradient: &mut [f32], replicas: usize) {
    let own = gradient.to_vec();
    let mut wire = [0.0; PACKET_LEN];
    let chunk = gradient.len().div_ceil(replicas);
    for _ in 1..replicas {
        for (mine, theirs) in gradient.chunks_mut(chunk).zip(own.chunks(chunk)).take(1) {
            transfer_in_packets(mine, theirs, &mut wire, |mine, theirs| math::axpy(1.0, theirs, mine));
        }
    }
    let share = 1.0 / replicas as f32;
    gradient.iter_mut().take(chunk).for_each(|g| *g *= share);
    for (mine, theirs) in gradient.chunks_mut(chunk).zip(own.chunks(chunk)).skip(1) {
        transfer_in_packets(mine, theirs, &mut wire, <[f32]>::copy_from_slice);
    }
}

/// Transfers a chunk in packets, and combines each with `take`.
fn transfer_in_packets(
    mine: &mut [f32],
    theirs: &[f32],
    wire: &mut [f32],
    take: impl Fn(&mut [f32], &[f32]),
) {
    for (mine, theirs) in mine.chunks_mut(PACKET_LEN).zip(theirs.chunks(PACKET_LEN)) {
        let wire = &mut wire[..theirs.len()];
        wire.copy_from_slice(theirs);
        take(mine, wire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::clock::JobClock;
    use std::sync::Arc;

    fn train(model: &mut Perceptron, host: &mut HostRuntime) -> f32 {
        let batch = model.next_batch();
        model.upload_batch(host, &batch);
        model.forward(host, &batch);
        model.backward(host, &batch);
        model.update_parameters(host);
        model.read_loss(host)
    }

    #[test]
    fn the_model_learns() {
        let mut host = HostRuntime::new(JobClock::start(), Arc::default()).unwrap();
        let mut model = Perceptron::new(1, 16, 2);
        let first = train(&mut model, &mut host);
        let last = (0..80).map(|_| train(&mut model, &mut host)).collect::<Vec<_>>();
        let mean = last[60..].iter().sum::<f32>() / 20.0;
        assert!(mean < 0.9 * first, "{first} then {mean}");
    }

    #[test]
    fn averaging_equal_gradients_changes_nothing() {
        for (len, replicas) in [(1, 2), (10, 3), (5000, 2), (5000, 8)] {
            let before: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let mut after = before.clone();
            ring_all_reduce(&mut after, replicas);
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() <= 1e-3 * a.abs()), "{replicas}");
        }
    }
}
