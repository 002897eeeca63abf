"""A small training job on the CPU, for `make demo TORCH=1`: trains until it is told to stop."""

import signal
import sys
import time

import torch
from torch import nn

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
torch.manual_seed(0)
torch.set_num_threads(1)

model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
loss_of = nn.CrossEntropyLoss()

# Bounded, in case nobody stops it.
end = time.monotonic() + 600
step = 0
while time.monotonic() < end:
    x = torch.randn(128, 64)
    y = x[:, :10].argmax(dim=1)
    optimizer.zero_grad()
    loss = loss_of(model(x), y)
    loss.backward()
    # libkineto counts iterations at the optimizer's step.
    optimizer.step()
    step += 1
    if step == 3:
        # Asked earlier, libkineto would record 500 ms instead of iterations.
        print("training", flush=True)
    time.sleep(0.02)
