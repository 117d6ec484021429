"""The network of the post in PyTorch, layer for layer, for the benchmark alone."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class Twin(nn.Module):
    """The 2017 network with 64 latents: 3 450 502 parameters, RMSprop as Keras sets it.

    Args:
        channels_last: Whether convolutions keep the channels last in memory, as TensorFlow does;
            PyTorch's default is not.
    """

    def __init__(self, channels_last=False):
        super().__init__()
        self.encoder = _encoder()
        self.z_mean = nn.Linear(128, 64)
        self.z_log_var = nn.Linear(128, 64)
        self.decoder = _decoder()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)
        self.optimizer = torch.optim.RMSprop(self.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)

    def forward(self, x):
        """The negative ELBO of images (n, 1, 28, 28), Equation 14: nats, the mean over them."""
        h = self.encoder(x)
        z_mean = self.z_mean(h)
        z_log_var = self.z_log_var(h)
        z = z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = 0.5 * torch.sum(torch.exp(z_log_var) + z_mean**2 - 1.0 - z_log_var)
        return (reconstruction + kl) / len(x)

    def train_epoch(self, x, batch_size):
        """Train for one epoch on a NumPy array of images (n, 28, 28, 1), in a new order.

        Returns the mean loss.
        """
        x = torch.from_numpy(x).reshape(-1, 1, 28, 28)
        losses = []
        for batch in torch.randperm(len(x)).split(batch_size):
            self.optimizer.zero_grad()
            loss = self(x[batch].contiguous(memory_format=self.memory_format))
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return sum(losses) / len(losses)


def _encoder():
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),  # "same" for a 2x2 kernel pads below and right
        nn.Conv2d(1, 1, 2),
        nn.ReLU(),
        nn.Conv2d(1, 64, 2, stride=2),  # 28x28 to 14x14
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12544, 128),
        nn.ReLU(),
        nn.Linear(128, 128),
        nn.ReLU(),
    )


def _decoder():
    return nn.Sequential(
        nn.Linear(64, 128),
        nn.ReLU(),
        nn.Linear(128, 12544),
        nn.ReLU(),
        nn.Unflatten(1, (64, 14, 14)),
        nn.ConvTranspose2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 64, 3, stride=2),  # 14x14 to 29x29
        nn.ReLU(),
        nn.Conv2d(64, 1, 2),  # 29x29 to 28x28
    )
