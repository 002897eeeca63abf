"""Training on the CPU with data from two spawned workers, for tests/torch.rs."""

import os
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Samples(Dataset):
    """As many samples as somebody reads, each slow enough for the workers to be busy."""

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(0.001)
        return torch.full((64,), float(index % 7))


def train() -> None:
    torch.set_num_threads(1)
    model = nn.Linear(64, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(Samples(), batch_size=16, num_workers=2, multiprocessing_context="spawn")
    # Bounded, in case nobody stops it; and it ends with the test.
    end, parent = time.monotonic() + 120, os.getppid()
    for step, batch in enumerate(loader):
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
        if step == 3:
            print("training", flush=True)
        if time.monotonic() > end or os.getppid() != parent:
            break


if __name__ == "__main__":
    train()
