//! Arithmetic on row-major matrices: what the kernels compute, without allocation and threads.

/// c = a·b (+ bias on every row): a is rows×inner, b inner×cols.
pub(crate) fn gemm_nn(a: &[f32], b: &[f32], bias: &[f32], c: &mut [f32], inner: usize) {
    let cols = bias.len();
    for (row, out) in a.chunks_exact(inner).zip(c.chunks_exact_mut(cols)) {
        out.copy_from_slice(bias);
        for (x, line) in row.iter().zip(b.chunks_exact(cols)) {
            axpy(*x, line, out);
        }
    }
}

/// c = aᵀ·b: a is rows×m, b rows×cols, c m×cols.
pub(crate) fn gemm_tn(a: &[f32], b: &[f32], c: &mut [f32], m: usize, cols: usize) {
    c.fill(0.0);
    for (row, line) in a.chunks_exact(m).zip(b.chunks_exact(cols)) {
        for (x, out) in row.iter().zip(c.chunks_exact_mut(cols)) {
            axpy(*x, line, out);
        }
    }
}

/// c = a·bᵀ: a is rows×inner, b cols×inner.
pub(crate) fn gemm_nt(a: &[f32], b: &[f32], c: &mut [f32], inner: usize) {
    let cols = b.len() / inner;
    for (row, out) in a.chunks_exact(inner).zip(c.chunks_exact_mut(cols)) {
        for (line, out) in b.chunks_exact(inner).zip(out) {
            *out = row.iter().zip(line).map(|(x, y)| x * y).sum();
        }
    }
}

/// out += x·line.
pub(crate) fn axpy(x: f32, line: &[f32], out: &mut [f32]) {
    for (out, y) in out.iter_mut().zip(line) {
        *out += x * y;
    }
}

/// Sums the rows of a matrix into one.
pub(crate) fn sum_rows(a: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    a.chunks_exact(out.len()).for_each(|row| axpy(1.0, row, out));
}

/// out = max(a, 0).
pub(crate) fn relu(a: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(a).for_each(|(out, a)| *out = a.max(0.0));
}

/// Sets the gradient to zero where the activation is zero.
pub(crate) fn threshold_backward(activation: &[f32], gradient: &mut [f32]) {
    for (g, a) in gradient.iter_mut().zip(activation) {
        if *a <= 0.0 {
            *g = 0.0;
        }
    }
}

/// out = log(softmax(row)), for every row.
pub(crate) fn log_softmax(logits: &[f32], out: &mut [f32], classes: usize) {
    for (row, out) in logits.chunks_exact(classes).zip(out.chunks_exact_mut(classes)) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = row.iter().map(|x| (x - max).exp()).sum::<f32>().ln();
        out.iter_mut().zip(row).for_each(|(out, x)| *out = x - max - log_sum);
    }
}

/// Returns the mean negative log likelihood of the labels.
pub(crate) fn nll_loss(log_p: &[f32], labels: &[usize], classes: usize) -> f32 {
    let sum: f32 = log_p.chunks_exact(classes).zip(labels).map(|(row, y)| -row[*y]).sum();
    sum / labels.len() as f32
}

/// out = gradient of the loss with respect to the logits: (softmax − one-hot) / rows.
pub(crate) fn cross_entropy_backward(log_p: &[f32], labels: &[usize], out: &mut [f32], classes: usize) {
    let scale = 1.0 / labels.len() as f32;
    for ((row, y), out) in log_p.chunks_exact(classes).zip(labels).zip(out.chunks_exact_mut(classes)) {
        out.iter_mut().zip(row).for_each(|(out, lp)| *out = lp.exp() * scale);
        out[*y] -= scale;
    }
}

/// A generator of uniform pseudorandom numbers (xorshift64*, Vigna 2016): the same data on every run.
#[derive(Clone, Debug)]
pub(crate) struct RandomNumbers(u64);

impl RandomNumbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number in -1..1.
    pub(crate) fn next_uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }

    /// Returns a number in 0..n. The small modulo bias does not matter here.
    pub(crate) fn next_below(&mut self, n: usize) -> usize {
        (self.next_u64() >> 32) as usize % n
    }

    fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2×3 times 3×2.
    const A: [f32; 6] = [1., 2., 3., 4., 5., 6.];
    const B: [f32; 6] = [7., 8., 9., 10., 11., 12.];

    #[test]
    fn the_three_products_are_correct() {
        let mut c = [0.0; 4];
        gemm_nn(&A, &B, &[1.0, 0.0], &mut c, 3);
        assert_eq!(c, [59., 64., 140., 154.]);
        // A·(Bᵀ)ᵀ is the same product, with B given transposed.
        gemm_nt(&A, &[7., 9., 11., 8., 10., 12.], &mut c, 3);
        assert_eq!(c, [58., 64., 139., 154.]);
        // (Aᵀ)ᵀ·B as well, with A given transposed.
        gemm_tn(&[1., 4., 2., 5., 3., 6.], &B, &mut c, 2, 2);
        assert_eq!(c, [58., 64., 139., 154.]);
    }

    #[test]
    fn a_softmax_row_sums_to_one_even_for_large_logits() {
        let mut out = [0.0; 3];
        log_softmax(&[1000.0, 999.0, -1000.0], &mut out, 3);
        let sum: f32 = out.iter().map(|x| x.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{out:?}");
    }

    /// The analytic gradient against differences of the loss.
    #[test]
    fn the_gradient_of_the_loss_is_its_slope() {
        let (logits, labels) = ([0.3_f32, -0.2, 0.9, 0.1, 0.5, -0.7], [2, 0]);
        let loss = |z: &[f32]| {
            let mut lp = [0.0; 6];
            log_softmax(z, &mut lp, 3);
            nll_loss(&lp, &labels, 3)
        };
        let (mut lp, mut gradient) = ([0.0; 6], [0.0; 6]);
        log_softmax(&logits, &mut lp, 3);
        cross_entropy_backward(&lp, &labels, &mut gradient, 3);
        for i in 0..6 {
            let (mut up, mut down) = (logits, logits);
            up[i] += 1e-2;
            down[i] -= 1e-2;
            let slope = (loss(&up) - loss(&down)) / 2e-2;
            assert!((slope - gradient[i]).abs() < 1e-3, "{i}: {slope} {}", gradient[i]);
        }
    }

    #[test]
    fn random_numbers_fill_their_range() {
        let mut r = RandomNumbers::new(1);
        let all: Vec<f32> = (0..1000).map(|_| r.next_uniform()).collect();
        assert!(all.iter().all(|x| (-1.0..1.0).contains(x)));
        assert!((all.iter().sum::<f32>() / 1000.0).abs() < 0.1);
        let mut seen = [false; 7];
        (0..200).for_each(|_| seen[r.next_below(7)] = true);
        assert_eq!(seen, [true; 7]);
    }
}
