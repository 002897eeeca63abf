//! The perceptron: two linear layers, trained by gradient descent on made-up data that it can learn.
//!
//! Every operator launches the kernels that compute it and returns at once; the loss is the only value that
//! the training thread waits for. Gradients are reduced over the replicas of a data-parallel job while the
//! rest of the backward pass computes.

use super::device::{Activity, Buffer, Stream};
use super::host::Host;
use super::math::{self, Random};

const INPUTS: usize = 256;
const HIDDEN: usize = 384;
const CLASSES: usize = 64;
const RATE: f32 = 0.1;

/// What the ring moves at once; a real network has packets too.
const PACKET: usize = 1024;

const COMPUTE: Stream = Stream::Compute;
const KERNEL: Activity = Activity::Kernel;

/// One linear layer: weights, biases, and their gradients.
#[derive(Debug)]
struct Layer {
    weight: Buffer,
    bias: Buffer,
    weight_gradient: Buffer,
    bias_gradient: Buffer,
    inputs: usize,
    outputs: usize,
}

impl Layer {
    fn new(inputs: usize, outputs: usize, random: &mut Random) -> Self {
        let bound = (1.0 / inputs as f32).sqrt();
        Self {
            weight: Buffer::new((0..inputs * outputs).map(|_| random.uniform() * bound).collect()),
            bias: Buffer::zeros(outputs),
            weight_gradient: Buffer::zeros(inputs * outputs),
            bias_gradient: Buffer::zeros(outputs),
            inputs,
            outputs,
        }
    }

    /// `aten::linear`: out = x·W + b.
    fn forward(&self, host: &mut Host, x: &Buffer, out: &Buffer) {
        let (x, out, weight, bias) = (x.clone(), out.clone(), self.weight.clone(), self.bias.clone());
        let inputs = self.inputs;
        host.op("aten::linear", |host| {
            host.op("aten::addmm", |host| {
                host.launch(COMPUTE, "sgemm_bias_32x32_nn", KERNEL, move || {
                    math::gemm_nn(&x.lock(), &weight.lock(), &bias.lock(), &mut out.lock(), inputs);
                });
            });
        });
    }

    /// The gradients of weights and biases from that of the output.
    fn backward(&self, host: &mut Host, x: &Buffer, gradient: &Buffer) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (x, g, weight) = (x.clone(), gradient.clone(), self.weight_gradient.clone());
        host.op("aten::mm", |host| {
            host.launch(COMPUTE, "sgemm_32x32_tn", KERNEL, move || {
                math::gemm_tn(&x.lock(), &g.lock(), &mut weight.lock(), inputs, outputs);
            });
        });
        let (g, bias) = (gradient.clone(), self.bias_gradient.clone());
        host.op("aten::sum", |host| {
            host.launch(COMPUTE, "reduce_rows_kernel", KERNEL, move || {
                math::sum_rows(&g.lock(), &mut bias.lock());
            });
        });
    }

    /// `aten::mm`: the gradient of the input.
    fn backward_input(&self, host: &mut Host, gradient: &Buffer, out: &Buffer) {
        let (g, weight, out, outputs) = (gradient.clone(), self.weight.clone(), out.clone(), self.outputs);
        host.op("aten::mm", |host| {
            host.launch(COMPUTE, "sgemm_32x32_nt", KERNEL, move || {
                math::gemm_nt(&g.lock(), &weight.lock(), &mut out.lock(), outputs);
            });
        });
    }

    fn parameters(&self) -> [(&Buffer, &Buffer); 2] {
        [(&self.weight, &self.weight_gradient), (&self.bias, &self.bias_gradient)]
    }
}

/// The model, its activations and its data.
#[derive(Debug)]
pub(crate) struct Model {
    random: Random,
    /// Where the classes lie: what is to be learnt.
    centres: Vec<f32>,
    first: Layer,
    second: Layer,
    x: Buffer,
    hidden: Buffer,
    active: Buffer,
    logits: Buffer,
    log_p: Buffer,
    logits_gradient: Buffer,
    hidden_gradient: Buffer,
    loss: Buffer,
    /// Samples in a batch.
    batch: usize,
    replicas: u32,
}

/// A batch on the host.
#[derive(Debug)]
pub(crate) struct Batch {
    x: Vec<f32>,
    labels: Vec<usize>,
}

impl Model {
    /// A model with random weights, one of so many replicas.
    pub(crate) fn new(seed: u64, batch: usize, replicas: u32) -> Self {
        let mut random = Random::new(seed);
        let centres = (0..INPUTS * CLASSES).map(|_| random.uniform()).collect();
        Self {
            first: Layer::new(INPUTS, HIDDEN, &mut random),
            second: Layer::new(HIDDEN, CLASSES, &mut random),
            x: Buffer::zeros(batch * INPUTS),
            hidden: Buffer::zeros(batch * HIDDEN),
            active: Buffer::zeros(batch * HIDDEN),
            logits: Buffer::zeros(batch * CLASSES),
            log_p: Buffer::zeros(batch * CLASSES),
            logits_gradient: Buffer::zeros(batch * CLASSES),
            hidden_gradient: Buffer::zeros(batch * HIDDEN),
            loss: Buffer::zeros(1),
            random,
            centres,
            batch,
            replicas,
        }
    }

    /// Makes up the next batch on the host: each sample is the centre of its class, and noise.
    pub(crate) fn next_batch(&mut self) -> Batch {
        let mut batch = Batch { x: Vec::with_capacity(self.batch * INPUTS), labels: Vec::new() };
        for _ in 0..self.batch {
            let class = self.random.below(CLASSES);
            let centre = &self.centres[class * INPUTS..][..INPUTS];
            batch.x.extend(centre.iter().map(|c| c + self.random.uniform()));
            batch.labels.push(class);
        }
        batch
    }

    /// Copies a batch to the device, on the stream for that.
    pub(crate) fn upload(&self, host: &mut Host, batch: &Batch) {
        let (source, x) = (batch.x.clone(), self.x.clone());
        let bytes = size_of_val(&*source) as u64;
        host.op("aten::to", |host| {
            host.op("aten::copy_", |host| {
                let copy = Activity::Copy { bytes };
                host.launch(Stream::Copy, "Memcpy HtoD (Pinned -> Device)", copy, move || {
                    x.lock().copy_from_slice(&source);
                });
                let copied = host.fence(Stream::Copy);
                host.wait_for(COMPUTE, &copied);
            });
        });
    }

    /// From the batch to the loss.
    pub(crate) fn forward(&self, host: &mut Host, batch: &Batch) {
        self.first.forward(host, &self.x, &self.hidden);
        let (hidden, active) = (self.hidden.clone(), self.active.clone());
        host.op("aten::relu", |host| {
            host.op("aten::clamp_min", |host| {
                host.launch(COMPUTE, "relu_kernel", KERNEL, move || {
                    math::relu(&hidden.lock(), &mut active.lock());
                });
            });
        });
        self.second.forward(host, &self.active, &self.logits);
        host.op("aten::cross_entropy_loss", |host| self.cross_entropy(host, batch));
    }

    fn cross_entropy(&self, host: &mut Host, batch: &Batch) {
        let (logits, log_p) = (self.logits.clone(), self.log_p.clone());
        host.op("aten::log_softmax", |host| {
            host.launch(COMPUTE, "softmax_warp_forward", KERNEL, move || {
                math::log_softmax(&logits.lock(), &mut log_p.lock(), CLASSES);
            });
        });
        let (log_p, loss, labels) = (self.log_p.clone(), self.loss.clone(), batch.labels.clone());
        host.op("aten::nll_loss", |host| {
            host.launch(COMPUTE, "nll_loss_forward_kernel", KERNEL, move || {
                loss.lock()[0] = math::nll_loss(&log_p.lock(), &labels, CLASSES);
            });
        });
    }

    /// From the loss to the gradients; each layer's are reduced as soon as they are there.
    pub(crate) fn backward(&self, host: &mut Host, batch: &Batch) {
        host.op("autograd::engine::evaluate_function: NllLossBackward0", |host| {
            let (log_p, gradient) = (self.log_p.clone(), self.logits_gradient.clone());
            let labels = batch.labels.clone();
            host.op("aten::nll_loss_backward", |host| {
                host.launch(COMPUTE, "cross_entropy_backward_kernel", KERNEL, move || {
                    math::cross_entropy_backward(&log_p.lock(), &labels, &mut gradient.lock(), CLASSES);
                });
            });
        });
        host.op("autograd::engine::evaluate_function: AddmmBackward0", |host| {
            self.second.backward(host, &self.active, &self.logits_gradient);
        });
        self.all_reduce(host, &self.second);
        host.op("autograd::engine::evaluate_function: AddmmBackward0", |host| {
            self.second.backward_input(host, &self.logits_gradient, &self.hidden_gradient);
        });
        let (active, gradient) = (self.active.clone(), self.hidden_gradient.clone());
        host.op("autograd::engine::evaluate_function: ReluBackward0", |host| {
            host.op("aten::threshold_backward", |host| {
                host.launch(COMPUTE, "threshold_backward_kernel", KERNEL, move || {
                    math::threshold_backward(&active.lock(), &mut gradient.lock());
                });
            });
        });
        host.op("autograd::engine::evaluate_function: AddmmBackward0", |host| {
            self.first.backward(host, &self.x, &self.hidden_gradient);
        });
        self.all_reduce(host, &self.first);
    }

    /// Averages a layer's gradients over the replicas, beside the computation.
    fn all_reduce(&self, host: &mut Host, layer: &Layer) {
        if self.replicas < 2 {
            return;
        }
        let gradients = [layer.weight_gradient.clone(), layer.bias_gradient.clone()];
        let elements = (layer.inputs + 1) * layer.outputs;
        let replicas = self.replicas as usize;
        host.annotate("nccl:all_reduce", |host| {
            host.op("c10d::allreduce_", |host| {
                let ready = host.fence(COMPUTE);
                host.wait_for(Stream::Communication, &ready);
                let activity = Activity::AllReduce { elements: elements as u64 };
                let name = "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)";
                host.launch(Stream::Communication, name, activity, move || {
                    gradients.iter().for_each(|g| ring(&mut g.lock(), replicas));
                });
            });
        });
    }

    /// One step of gradient descent, once the gradients are reduced.
    pub(crate) fn update(&self, host: &mut Host) {
        host.annotate("Optimizer.step#SGD.step", |host| {
            let reduced = host.fence(Stream::Communication);
            host.wait_for(COMPUTE, &reduced);
            host.op("aten::_foreach_add_", |host| {
                for (parameter, gradient) in [&self.first, &self.second].iter().flat_map(|l| l.parameters()) {
                    let (parameter, gradient) = (parameter.clone(), gradient.clone());
                    host.launch(COMPUTE, "multi_tensor_apply_kernel", KERNEL, move || {
                        math::axpy(-RATE, &gradient.lock(), &mut parameter.lock());
                    });
                }
            });
        });
        host.annotate("Optimizer.zero_grad#SGD.zero_grad", |host| {
            for (_, gradient) in [&self.first, &self.second].iter().flat_map(|l| l.parameters()) {
                let fill = Activity::Fill { bytes: gradient.bytes() };
                let gradient = gradient.clone();
                host.op("aten::zero_", |host| {
                    host.launch(COMPUTE, "Memset (Device)", fill, move || gradient.lock().fill(0.0));
                });
            }
        });
    }

    /// `loss.item()`: copies the loss back and waits for it.
    pub(crate) fn loss(&self, host: &mut Host) -> f32 {
        let (loss, result) = (self.loss.clone(), Buffer::zeros(1));
        let copy = result.clone();
        host.op("aten::item", |host| {
            host.op("aten::_local_scalar_dense", |host| {
                let bytes = size_of::<f32>() as u64;
                host.launch(COMPUTE, "Memcpy DtoH (Device -> Pinned)", Activity::Copy { bytes }, move || {
                    copy.lock()[0] = loss.lock()[0];
                });
                host.synchronize(COMPUTE);
            });
        });
        result.lock()[0]
    }
}

/// A ring all-reduce as one rank lives it: the neighbour's chunks come in packets and are added, then the
/// finished chunks come and are copied. The neighbours are replicas fed with the same batch, so their
/// gradients are ours, and the average is what it was.
fn ring(gradient: &mut [f32], replicas: usize) {
    let own = gradient.to_vec();
    let mut wire = [0.0; PACKET];
    let chunk = gradient.len().div_ceil(replicas);
    for _ in 1..replicas {
        for (mine, theirs) in gradient.chunks_mut(chunk).zip(own.chunks(chunk)).take(1) {
            packets(mine, theirs, &mut wire, |mine, theirs| math::axpy(1.0, theirs, mine));
        }
    }
    let share = 1.0 / replicas as f32;
    gradient.iter_mut().take(chunk).for_each(|g| *g *= share);
    for (mine, theirs) in gradient.chunks_mut(chunk).zip(own.chunks(chunk)).skip(1) {
        packets(mine, theirs, &mut wire, <[f32]>::copy_from_slice);
    }
}

/// Moves a chunk through the wire's buffer.
fn packets(mine: &mut [f32], theirs: &[f32], wire: &mut [f32], take: impl Fn(&mut [f32], &[f32])) {
    for (mine, theirs) in mine.chunks_mut(PACKET).zip(theirs.chunks(PACKET)) {
        let wire = &mut wire[..theirs.len()];
        wire.copy_from_slice(theirs);
        take(mine, wire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::clock::Clock;
    use std::sync::Arc;

    fn train(model: &mut Model, host: &mut Host) -> f32 {
        let batch = model.next_batch();
        model.upload(host, &batch);
        model.forward(host, &batch);
        model.backward(host, &batch);
        model.update(host);
        model.loss(host)
    }

    #[test]
    fn the_model_learns() {
        let mut host = Host::new(Clock::start(), Arc::default()).unwrap();
        let mut model = Model::new(1, 16, 2);
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
            ring(&mut after, replicas);
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() <= 1e-3 * a.abs()), "{replicas}");
        }
    }
}
