"""What a net costs, counted from its configuration."""

from __future__ import annotations

from vgglib.configs import Config


def macs(net: Config, image_size: int, num_classes: int = 1000) -> int:
    """Multiply-adds of one forward pass on a square crop of `image_size` pixels: convolutions and fully connected
    layers.
    """
    total, side, channels = 0, image_size, 3
    for layer in net.layers:
        if layer.kind == "conv":
            total += side**2 * layer.kernel**2 * channels * layer.channels
        elif layer.kind == "pool":
            side //= layer.stride
        channels = layer.channels
    features = side**2 * channels
    for width in (*net.fully_connected, num_classes):
        total += features * width
        features = width
    return total
