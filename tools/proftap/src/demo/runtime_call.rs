//! The calls of the device runtime.

/// A call of the device runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuntimeCall {
    LaunchKernel,
    /// The launch of a communication kernel.
    LaunchCommunication,
    CopyMemory,
    FillMemory,
    RecordEvent,
    WaitForEvent,
    SynchronizeStream,
}

impl RuntimeCall {
    /// Whether the call launches work on a stream.
    pub(crate) fn is_launch(self) -> bool {
        match self {
            Self::LaunchKernel | Self::LaunchCommunication | Self::CopyMemory | Self::FillMemory => true,
            Self::RecordEvent | Self::WaitForEvent | Self::SynchronizeStream => false,
        }
    }

    /// Returns the name of the call in the CUDA runtime, as Kineto records it.
    pub(crate) fn cuda_name(self) -> &'static str {
        match self {
            Self::LaunchKernel => "cudaLaunchKernel",
            Self::LaunchCommunication => "cudaLaunchKernelExC",
            Self::CopyMemory => "cudaMemcpyAsync",
            Self::FillMemory => "cudaMemsetAsync",
            Self::RecordEvent => "cudaEventRecord",
            Self::WaitForEvent => "cudaStreamWaitEvent",
            Self::SynchronizeStream => "cudaStreamSynchronize",
        }
    }

    /// Returns the name of the corresponding CANN call and its level, as the Ascend PyTorch profiler records them.
    pub(crate) fn cann_name_and_level(self) -> (&'static str, &'static str) {
        match self {
            Self::LaunchKernel => ("Node@launch", "node"),
            Self::LaunchCommunication => ("Hccl@launch", "hccl"),
            Self::CopyMemory => ("AscendCL@aclrtMemcpyAsync", "acl"),
            Self::FillMemory => ("AscendCL@aclrtMemsetAsync", "acl"),
            Self::RecordEvent => ("AscendCL@aclrtRecordEvent", "acl"),
            Self::WaitForEvent => ("AscendCL@aclrtStreamWaitEvent", "acl"),
            Self::SynchronizeStream => ("AscendCL@aclrtSynchronizeStream", "acl"),
        }
    }
}
