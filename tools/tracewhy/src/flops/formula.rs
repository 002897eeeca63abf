//! How many floating-point operations an operator of PyTorch does, and how many bytes it must move, by the shapes of its inputs
//! (pytorch `torch/utils/flop_counter.py`: a multiplication and an addition are two). What is computed twice, or masked, counts
//! as if it were not.

use serde_json::Value;
use trace::read::{RawValue, find_argument, parse_arguments};

/// A type of numbers, by what limits its speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum NumberType {
    F64,
    F32,
    /// Numbers of 32 bits whose products are of 19.
    Tf32,
    F16,
    Bf16,
    F8,
    I8,
}

impl NumberType {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::F64, Self::F32, Self::Tf32, Self::F16, Self::Bf16, Self::F8, Self::I8];

    /// The name in records and tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F64 => "fp64",
            Self::F32 => "fp32",
            Self::Tf32 => "tf32",
            Self::F16 => "fp16",
            Self::Bf16 => "bf16",
            Self::F8 => "fp8",
            Self::I8 => "int8",
        }
    }

    /// By the name of a C++ type or of a `c10` one, and its bytes.
    fn of_name(name: &str) -> Option<(Self, u64)> {
        let name = name.rsplit("::").next().unwrap_or(name).to_ascii_lowercase();
        Some(match name.as_str() {
            "double" => (Self::F64, 8),
            "float" => (Self::F32, 4),
            "half" => (Self::F16, 2),
            "bfloat16" => (Self::Bf16, 2),
            "signed char" | "char" | "int8" => (Self::I8, 1),
            _ if name.starts_with("float8") => (Self::F8, 1),
            _ => return None,
        })
    }
}

/// The operations of an operator in one call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OperatorWork {
    pub(crate) flops: f64,
    /// Bytes of its inputs and outputs, each once, where they are known.
    pub(crate) bytes: Option<f64>,
    pub(crate) number: NumberType,
    /// The shapes that decide, for people.
    pub(crate) shapes: String,
}

/// Returns whether a formula is known for an operator.
pub(crate) fn is_known(name: &str) -> bool {
    find_formula(name).is_some()
}

type Formula = fn(&Shapes<'_>) -> Option<(f64, Vec<u64>)>;

/// The formula of an operator: its operations, and the elements of its outputs.
fn find_formula(name: &str) -> Option<Formula> {
    Some(match name.strip_prefix("aten::")? {
        "mm" | "_scaled_mm" => |s| multiply(s.dims(0)?, s.dims(1)?),
        "addmm" | "addmm_" | "_addmm_activation" => |s| multiply(s.dims(1)?, s.dims(2)?),
        "bmm" => |s| multiply(s.dims(0)?, s.dims(1)?),
        "baddbmm" | "baddbmm_" => |s| multiply(s.dims(1)?, s.dims(2)?),
        "linear" => linear,
        "conv1d" | "conv2d" | "conv3d" => {
            |s| convolve(s, &ConvolutionPlaces { transposed: None, ..CONVOLUTION })
        }
        "convolution" | "_convolution" => |s| convolve(s, &CONVOLUTION),
        "cudnn_convolution" | "miopen_convolution" => {
            |s| convolve(s, &ConvolutionPlaces { padding: 2, stride: 3, dilation: 4, transposed: None })
        }
        "convolution_backward" => convolve_backward,
        "scaled_dot_product_attention"
        | "_scaled_dot_product_flash_attention"
        | "_scaled_dot_product_efficient_attention"
        | "_scaled_dot_product_cudnn_attention" => |s| attend(s.dims(0)?, s.dims(1)?, s.dims(2)?, 2, 1),
        "_flash_attention_forward" => |s| attend(s.dims(0)?, s.dims(1)?, s.dims(2)?, 1, 2),
        "_scaled_dot_product_flash_attention_backward"
        | "_scaled_dot_product_efficient_attention_backward"
        | "_scaled_dot_product_cudnn_attention_backward" => |s| attend_backward(s, 2, 1),
        "_flash_attention_backward" => |s| attend_backward(s, 1, 2),
        _ => return None,
    })
}

/// The work of an operator, by the arguments of its event: what `with_flops` recorded, or else by formula. `None` if the
/// trace has no shapes.
pub(crate) fn find_work(name: &str, args: &[u8]) -> Option<OperatorWork> {
    let recorded = match find_argument(args, "flops") {
        Some(RawValue::Number(digits)) => std::str::from_utf8(digits).ok()?.parse::<f64>().ok(),
        _ => None,
    };
    let formula = find_formula(name);
    if formula.is_none() && recorded.is_none() {
        return None;
    }
    let arguments = parse_arguments(args)?;
    let shapes = Shapes { arguments: &arguments };
    let (number, element) = (0..4).find_map(|i| NumberType::of_name(shapes.type_of(i)?))?;
    let computed = formula.and_then(|formula| formula(&shapes));
    let flops = recorded.filter(|n| *n > 0.0).or_else(|| computed.as_ref().map(|(flops, _)| *flops))?;
    if !flops.is_finite() || flops <= 0.0 {
        return None;
    }
    let outputs =
        computed.map(|(_, outputs)| outputs.iter().map(|n| *n as f64).sum::<f64>() * element as f64);
    let bytes = outputs.and_then(|outputs| Some(shapes.input_bytes()? + outputs));
    Some(OperatorWork { flops, bytes, number, shapes: shapes.describe() })
}

/// The shapes in the arguments of an operator's event.
struct Shapes<'a> {
    arguments: &'a Value,
}

/// Larger shapes are no tensors: what is computed of them fits.
const MOST_ELEMENTS: u64 = 1 << 50;

impl Shapes<'_> {
    fn list(&self) -> Option<&Vec<Value>> {
        self.arguments.get("Input Dims")?.as_array()
    }

    /// The shape of an input; `None` if it is no tensor.
    fn dims(&self, index: usize) -> Option<Vec<u64>> {
        let list = self.list()?.get(index)?.as_array()?;
        let dims: Option<Vec<u64>> = list.iter().map(Value::as_u64).collect();
        let dims = dims.filter(|dims| !dims.is_empty() && dims.len() <= 8)?;
        count(&dims).map(|_| dims)
    }

    fn type_of(&self, index: usize) -> Option<&str> {
        self.arguments.get("Input type")?.get(index)?.as_str()
    }

    /// A list of numbers among the values of inputs: `[1, 1]`.
    fn numbers(&self, index: usize) -> Option<Vec<u64>> {
        let text = self.arguments.get("Concrete Inputs")?.get(index)?.as_str()?;
        let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
        inner.split(',').map(|number| number.trim().parse().ok()).collect()
    }

    fn is_true(&self, index: usize) -> bool {
        let value = self.arguments.get("Concrete Inputs").and_then(|list| list.get(index)?.as_str());
        matches!(value, Some("True" | "true"))
    }

    /// The bytes of all inputs that are tensors of numbers.
    fn input_bytes(&self) -> Option<f64> {
        let inputs = (0..self.list()?.len().min(16)).filter_map(|i| {
            let (_, element) = NumberType::of_name(self.type_of(i)?)?;
            Some(count(&self.dims(i)?)? as f64 * element as f64)
        });
        Some(inputs.sum())
    }

    fn describe(&self) -> String {
        let tensors = (0..self.list().map_or(0, Vec::len).min(8)).filter_map(|i| self.dims(i));
        let texts = tensors.map(|dims| dims.iter().map(u64::to_string).collect::<Vec<_>>().join("x"));
        texts.collect::<Vec<_>>().join(" ")
    }
}

fn count(dims: &[u64]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |product, n| product.checked_mul(*n)).filter(|n| *n <= MOST_ELEMENTS)
}

/// `[…, m, k] x […, k, n]`.
fn multiply(a: Vec<u64>, b: Vec<u64>) -> Option<(f64, Vec<u64>)> {
    let (m, k) = (*a.get(a.len().checked_sub(2)?)?, *a.last()?);
    let n = *b.last()?;
    if b.len() != a.len() || b[b.len() - 2] != k {
        return None;
    }
    let batch = count(&a[..a.len() - 2])?;
    let output = count(&[batch, m, n])?;
    Some((2.0 * output as f64 * k as f64, vec![output]))
}

/// `[…, k]` and a weight `[n, k]`.
fn linear(shapes: &Shapes<'_>) -> Option<(f64, Vec<u64>)> {
    let (x, weight) = (shapes.dims(0)?, shapes.dims(1)?);
    let [n, k] = weight[..] else { return None };
    let rows = count(&x[..x.len() - 1])?;
    let output = count(&[rows, n])?;
    (*x.last()? == k).then(|| (2.0 * output as f64 * k as f64, vec![output]))
}

/// Where a convolution has its parameters among its inputs.
struct ConvolutionPlaces {
    stride: usize,
    padding: usize,
    dilation: usize,
    transposed: Option<usize>,
}

const CONVOLUTION: ConvolutionPlaces =
    ConvolutionPlaces { stride: 3, padding: 4, dilation: 5, transposed: Some(6) };

/// `[n, c, …]` and a weight `[o, c / groups, …]`.
fn convolve(shapes: &Shapes<'_>, places: &ConvolutionPlaces) -> Option<(f64, Vec<u64>)> {
    let (x, weight) = (shapes.dims(0)?, shapes.dims(1)?);
    if places.transposed.is_some_and(|place| shapes.is_true(place)) || x.len() != weight.len() || x.len() < 3
    {
        return None;
    }
    let kernel = &weight[2..];
    let [stride, padding, dilation] =
        [places.stride, places.padding, places.dilation].map(|place| shapes.numbers(place));
    let (stride, padding, dilation) = (stride?, padding?, dilation?);
    let mut output = vec![x[0], weight[0]];
    for (i, size) in x[2..].iter().enumerate() {
        // One number may stand for all dimensions.
        let of = |list: &[u64]| list.get(i).or(list.first()).copied();
        let (stride, padding, dilation) = (of(&stride)?, of(&padding)?, of(&dilation)?);
        let reach = dilation.checked_mul(kernel.get(i)?.checked_sub(1)?)?.checked_add(1)?;
        let room = size.checked_add(padding.checked_mul(2)?)?.checked_sub(reach)?;
        output.push(room.checked_div(stride)?.checked_add(1)?);
    }
    let (output, per_element) = (count(&output)?, count(&weight[1..])?);
    Some((2.0 * output as f64 * per_element as f64, vec![output]))
}

/// The gradient of a convolution to its input and to its weight: each is as much as the convolution.
fn convolve_backward(shapes: &Shapes<'_>) -> Option<(f64, Vec<u64>)> {
    let (gradient, x, weight) = (shapes.dims(0)?, shapes.dims(1)?, shapes.dims(2)?);
    let once = 2.0 * count(&gradient)? as f64 * count(&weight[1..])? as f64;
    Some((2.0 * once, vec![count(&x)?, count(&weight)?]))
}

/// Attention over sequences: `q` of every position with every `k`, and with `v`. `heads` and `sequence` are places of
/// dimensions of four.
fn attend(q: Vec<u64>, k: Vec<u64>, v: Vec<u64>, sequence: usize, heads: usize) -> Option<(f64, Vec<u64>)> {
    if [&q, &k, &v].iter().any(|dims| dims.len() != 4) {
        return None;
    }
    let pairs = count(&[q[0], q[heads], q[sequence], k[sequence]])? as f64;
    let output = count(&[q[0], q[heads], q[sequence], v[3]])?;
    Some((2.0 * pairs * (q[3] + v[3]) as f64, vec![output]))
}

/// Its gradient: five products instead of two (Dao, FlashAttention-2, section 3.1).
fn attend_backward(shapes: &Shapes<'_>, sequence: usize, heads: usize) -> Option<(f64, Vec<u64>)> {
    let (q, k, v) = (shapes.dims(1)?, shapes.dims(2)?, shapes.dims(3)?);
    let outputs = vec![count(&q)?, count(&k)?, count(&v)?];
    let (forward, _) = attend(q, k, v, sequence, heads)?;
    Some((2.5 * forward, outputs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flops(name: &str, args: &str) -> Option<(f64, Option<f64>)> {
        find_work(name, args.as_bytes()).map(|work| (work.flops, work.bytes))
    }

    #[test]
    fn formulas_are_those_of_the_field() {
        let half = r#""Input type":["c10::Half","c10::Half","c10::Half"]"#;
        let mm = format!(r#"{{"Input Dims":[[128,64],[64,256]],{half}}}"#);
        let bytes = 2.0 * (128 * 64 + 64 * 256 + 128 * 256) as f64;
        assert_eq!(flops("aten::mm", &mm), Some((2.0 * 128.0 * 64.0 * 256.0, Some(bytes))));
        let bmm = format!(r#"{{"Input Dims":[[8,16,32],[8,32,64]],{half}}}"#);
        assert_eq!(flops("aten::bmm", &bmm).unwrap().0, 2.0 * 8.0 * 16.0 * 32.0 * 64.0);
        let linear = format!(r#"{{"Input Dims":[[4,10,32],[64,32],[64]],{half}}}"#);
        assert_eq!(flops("aten::linear", &linear).unwrap().0, 2.0 * 40.0 * 32.0 * 64.0);
        // The first layer of ResNet-50: 118 million multiplications and additions for an image.
        let conv = r#"{"Input Dims":[[1,3,224,224],[64,3,7,7],[],[],[],[],[]],"Input type":["float","float","","","","",""],
            "Concrete Inputs":["","","","[2, 2]","[3, 3]","[1, 1]","1"]}"#;
        assert_eq!(flops("aten::conv2d", conv).unwrap().0, 2.0 * 118_013_952.0);
        let attention = format!(r#"{{"Input Dims":[[2,8,128,64],[2,8,256,64],[2,8,256,64]],{half}}}"#);
        let expected = 4.0 * 2.0 * 8.0 * 128.0 * 256.0 * 64.0;
        assert_eq!(flops("aten::scaled_dot_product_attention", &attention).unwrap().0, expected);
        // The profiler's own count takes precedence; shapes that do not fit have none.
        let recorded = format!(r#"{{"flops":12345,"Input Dims":[[2,3],[3,4]],{half}}}"#);
        assert_eq!(flops("aten::mm", &recorded).unwrap().0, 12_345.0);
        assert_eq!(flops("aten::mm", &format!(r#"{{"Input Dims":[[2,3],[5,4]],{half}}}"#)), None);
        assert_eq!(
            flops("aten::mm", r#"{"Input Dims":[[18446744073709551615,3],[3,4]],"Input type":["float"]}"#),
            None
        );
        assert_eq!(flops("aten::relu", &mm), None);
    }
}
