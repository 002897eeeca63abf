"""One rank of a job on the CPU, for tests/torch.rs: torchrun starts several, and they add up their gradients."""

import os
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

torch.set_num_threads(1)
dist.init_process_group("gloo")
model = DistributedDataParallel(nn.Linear(64, 64))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

# Bounded, in case nobody stops it; and it ends with torchrun.
end, parent = time.monotonic() + 120, os.getppid()
step = 0
while time.monotonic() < end and os.getppid() == parent:
    optimizer.zero_grad()
    model(torch.randn(32, 64)).square().mean().backward()
    optimizer.step()
    step += 1
    if step == 3:
        # In one piece: torchrun starts the ranks without buffers, and print() would write the end of the line for itself.
        os.write(1, b"training\n")
    time.sleep(0.02)
